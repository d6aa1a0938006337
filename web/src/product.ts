import { type Trouble, ask } from "./api.js";
import { type Shown, cards, cheapestTag, ghostCards, priceShown, shopLink, thumb } from "./cards.js";
import { chart } from "./chart.js";
import { byId, make, table } from "./dom.js";
import {
  availabilityText,
  cheapest,
  cheapestFirst,
  countText,
  currenciesOf,
  dayText,
  isGone,
  isOld,
  matchText,
  priceText,
  productPage,
  similarityText,
} from "./format.js";
import { figuresOf, inOneCurrency } from "./history.js";
import { announce, button, empty, fill, ghostFigure, ghostLines } from "./states.js";
import {
  type Like,
  type Match,
  type Offer,
  type PriceHistory,
  type PricePoint,
  type Product,
  type Suggestion,
  isLike,
  isPriceHistory,
  isProduct,
} from "./types.js";

const SIMILAR = 10;
const OFFERS_SHOWN = 8;

const productPlace = byId("product", HTMLElement);
const historyPart = byId("history-part", HTMLElement);
const historyPlace = byId("history", HTMLElement);
const likePart = byId("like-part", HTMLElement);
const likePlace = byId("like", HTMLElement);

const id = new URLSearchParams(location.search).get("id") ?? "";
const path = `products/${encodeURIComponent(id)}`;

let product: Product | null = null;
let like: Like | null = null;

function browseLink(text: string, kind = "primary"): HTMLElement {
  return make("a", { class: kind, text, attributes: { href: "./browse.html" } });
}

/** The product itself. What its page needs besides is asked for at the same time. */
function showProduct(found: Product): HTMLElement {
  product = found;
  document.title = `${found.title} · Products Advisor`;
  historyPart.hidden = likePart.hidden = false;
  announce(found.title);
  const offers = make("div", { attributes: { id: "offers" } }, offersOf(found, like));
  return make(
    "div",
    { class: "columns" },
    gallery(found),
    make(
      "div",
      {},
      make("p", { class: "over label", theirs: found.category }),
      make("h1", { theirs: found.title }),
      make("p", { class: "note", text: [found.brand, `sold by ${found.shop}`].filter(Boolean).join(" · ") }),
      oldNote(found),
      offers,
      described(found.description),
    ),
  );
}

function oldNote(found: Product): HTMLElement | null {
  if (!isOld(found.observed_at, Date.now())) return null;
  const day = dayText(found.observed_at);
  return make("p", {
    class: "notice",
    text: `${found.shop} has not shown this product since ${day}. It may be gone, and its price too.`,
  });
}

function described(text: string): HTMLElement | null {
  if (!text.trim()) return null;
  const whole = make("p", { class: "description", theirs: text });
  if (text.length < 400) return whole;
  return make("details", { class: "long" }, make("summary", { text: "Description" }), whole);
}

function gallery(found: Product): HTMLElement {
  const [first = null, ...others] = found.photo_urls;
  const main = thumb(first, found.title);
  const place = make("div", { class: "gallery" }, main);
  if (others.length === 0) return place;
  const buttons = found.photo_urls.map((url, at) => {
    const press = make("button", { attributes: { "aria-label": `Photo ${at + 1}` } }, thumb(url));
    press.type = "button";
    press.setAttribute("aria-pressed", String(at === 0));
    press.addEventListener("click", () => {
      place.firstElementChild?.replaceWith(thumb(url, found.title));
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === press));
    });
    return press;
  });
  place.append(make("div", { class: "further" }, ...buttons));
  return place;
}

/** Every shop's offer: those that share its barcode, and those that its photo and name found. */
function offersOf(found: Product, alike: Like | null): HTMLElement {
  const known = new Set(found.offers.map((offer) => offer.product_id));
  const more = alike?.product?.offers.filter((offer) => !known.has(offer.product_id)) ?? [];
  const offers = cheapestFirst([...found.offers, ...more]);
  const marked = cheapest(offers);
  const several = currenciesOf(offers).length > 1;
  const shops = new Set(offers.map((offer) => offer.shop)).size;
  const rows = offers.map((offer, at) => offerRow(offer, marked.has(at), several));
  const note = [
    matchText(more.length ? matchOfAll(found, alike) : found.match, shops),
    several ? "prices in different currencies are not ranked against each other" : "",
  ].filter(Boolean);
  return make(
    "div",
    {},
    table(
      ["Shop", "Availability", "Last seen", "Price"],
      rows,
      { class: "offers-table" },
      make("caption", { class: "heard", text: "What each shop asks for it" }),
    ),
    dearer(rows.slice(OFFERS_SHOWN)),
    note.length ? make("p", { class: "note", text: note.join(" · ") }) : null,
  );
}

/** The button that shows the dearer offers of what many shops sell, hidden until then. */
function dearer(rows: readonly HTMLTableRowElement[]): HTMLElement | null {
  const [first] = rows;
  if (!first) return null;
  for (const row of rows) row.hidden = true;
  const all = button(countText(rows.length, "more offer", "more offers"), () => {
    for (const row of rows) row.hidden = false;
    all.remove();
    first.querySelector<HTMLElement>("a")?.focus();
  }, "plain");
  return all;
}

/** What all the offers were matched by, where the photo and the name found each of them. */
function matchOfAll(found: Product, alike: Like | null): Match {
  const ids = new Set(alike?.product?.offers.map((offer) => offer.product_id));
  const all = found.offers.every((offer) => ids.has(offer.product_id));
  return all ? (alike?.product?.match ?? "") : "";
}

function offerRow(offer: Offer, isCheapest: boolean, several: boolean): HTMLTableRowElement {
  const other = offer.product_id !== id && offer.title !== product?.title;
  const name = other
    ? make("a", { class: "other-name", theirs: offer.title, attributes: { href: productPage(offer.product_id) } })
    : null;
  const stock = make("td", { class: "stock", text: availabilityText(offer.availability) || "Not said" });
  stock.classList.toggle("gone", isGone(offer.availability));
  const row = make(
    "tr",
    {},
    make("th", { attributes: { scope: "row" } }, shopLink(offer), name),
    stock,
    make("td", { class: "seen", text: dayText(offer.observed_at) || "–" }),
    make(
      "td",
      { class: "asked" },
      isCheapest ? cheapestTag(offer, several) : null,
      priceShown("span", offer.price_minor, offer.currency),
    ),
  );
  row.classList.toggle("cheapest", isCheapest);
  return row;
}

function showHistory(history: PriceHistory): HTMLElement {
  const prices = inOneCurrency(history.prices);
  const [newest] = prices.slice(-1);
  const end = Math.max(Date.parse(product?.observed_at ?? "") || 0, newest ? Date.parse(newest.observed_at) : 0);
  const figures = figuresOf(prices, end);
  const unit = newest?.currency ?? "";
  const waiting = history.waiting.filter((point) => point.currency === unit);
  if (!figures || !newest) {
    const some = history.waiting.length > 0;
    return make(
      "div",
      {},
      make("p", {
        class: "note",
        text: some
          ? "No price is confirmed yet: those below wait for a second look."
          : "The shop’s page has shown no price so far.",
      }),
      some ? allPrices(history) : null,
    );
  }
  if (history.prices.length + waiting.length === 1) {
    const price = priceText(newest.price_minor, unit);
    const since = `since ${dayText(newest.observed_at)}: the only price seen so far.`;
    return make("p", {}, make("strong", { text: price }), ` ${since}`);
  }
  const figure = (name: string, minor: number) =>
    make("div", {}, make("dt", { text: name }), make("dd", { class: "price", text: priceText(minor, unit) }));
  const others = history.prices.length > prices.length;
  return make(
    "div",
    {},
    make(
      "dl",
      { class: "figures" },
      figure("Lowest", figures.lowest),
      figure("Average over time", figures.average),
      figure("Highest", figures.highest),
    ),
    chart(prices, waiting, figures, end),
    make(
      "p",
      { class: "legend" },
      make("span", { class: "key average", text: "Average" }),
      waiting.length ? make("span", { class: "key ring", text: "Waits for a second look" }) : null,
    ),
    others ? make("p", { class: "note", text: `Earlier prices in another currency are in the table only.` }) : null,
    make(
      "details",
      { class: "long" },
      make("summary", {
        text: `${countText(history.prices.length + history.waiting.length, "price", "prices")} as a table`,
      }),
      allPrices(history),
    ),
  );
}

/** All prices, newest first. */
function allPrices({ prices, waiting }: PriceHistory): HTMLElement {
  const points = [
    ...prices.map((point) => ({ point, note: "" })),
    ...waiting.map((point) => ({ point, note: waitingText(point) })),
  ].sort((one, other) => other.point.observed_at.localeCompare(one.point.observed_at));
  const rows = points.map(({ point, note }) =>
    make(
      "tr",
      {},
      make("th", { text: dayText(point.observed_at), attributes: { scope: "row" } }),
      make("td", { class: "price", text: priceText(point.price_minor, point.currency) }),
      make("td", { class: "note", text: note }),
    ),
  );
  const caption = make("caption", { class: "heard", text: "All prices, newest first" });
  return table(["Seen from", "Price", "Note"], rows, { class: "prices" }, caption);
}

function waitingText(point: PricePoint): string {
  return point.flag
    ? "Waits for a second look: the photo changed, it may be another variant"
    : "Waits for a second look: it moved by more than half";
}

function showLike(found: Like): HTMLElement {
  like = found;
  const place = document.getElementById("offers");
  if (product && place) place.replaceChildren(offersOf(product, like));
  if (found.suggestions.length === 0) {
    return empty("Nothing like it", "No other product looks like this one, or it has no photo yet.", browseLink("Browse all products", "quiet"));
  }
  return cards(found.suggestions.map(similar));
}

function similar(one: Suggestion): Shown {
  const [first] = one.offers;
  const shops = new Set(one.offers.map((offer) => offer.shop)).size;
  return {
    productId: first?.product_id ?? "",
    title: one.title,
    note: similarityText(one.similarity) + (shops > 1 ? ` · ${shops} shops` : ""),
    photoUrl: one.photo_url,
    priceMinor: first?.price_minor ?? null,
    currency: first?.currency ?? "",
    availability: one.offers.every((offer) => isGone(offer.availability)) ? (first?.availability ?? "") : "",
    ...(one.offers.length > 1 ? { before: "from" } : {}),
  };
}

/** The product is not there (any more): neither are its prices. */
function gone(error: Trouble): Node | null {
  if (error.status !== 404) return null;
  historyPart.hidden = likePart.hidden = true;
  return empty(
    "This product is gone",
    `No shop we read sells “${id}” any more, or the link is wrong.`,
    browseLink("Browse all products"),
  );
}

/** A product is there, and no photo of it that can be compared. */
function unlike(error: Trouble): Node | null {
  if (!error.lasting) return null;
  return make("p", { class: "note", text: "Its photo cannot be compared with others." });
}

function ghost(): HTMLElement {
  return make(
    "div",
    { class: "columns" },
    make("div", { class: "ghost-photo" }),
    ghostLines(5),
  );
}

if (!id) {
  productPlace.append(
    empty("No product was named", "The address of this page names a product of a shop.", browseLink("Browse all products")),
  );
} else {
  const got = fill(
    productPlace,
    (signal) => ask(path, isProduct, { signal }),
    showProduct,
    { note: "Loading the product", skeleton: ghost, instead: gone },
  );
  void fill(
    historyPlace,
    async (signal) => {
      const found = await ask(`${path}/prices`, isPriceHistory, { signal });
      await got; // which tells until when the last price holds
      return found;
    },
    showHistory,
    { note: "Loading the prices", skeleton: ghostFigure },
  );
  void fill(
    likePlace,
    (signal) => ask(`${path}/suggestions`, isLike, { query: { top_k: String(SIMILAR) }, signal }),
    showLike,
    { note: "Looking for what looks like it", skeleton: () => ghostCards(4), instead: unlike },
  );
}
