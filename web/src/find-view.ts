import { bars, cheapestTag, priceShown, shopLink, thumb, track } from "./cards.js";
import { make } from "./dom.js";
import {
  availabilityText,
  cheapest,
  countText,
  currenciesOf,
  isGone,
  matchText,
  percentText,
  priceText,
  productPage,
  similarityText,
  spread,
} from "./format.js";
import { empty } from "./states.js";
import type { Classification, Label, Offer, Suggestion } from "./types.js";

const LABELS_SHOWN = 4;
const OFFERS_SHOWN = 5;
const WORTH_SHOWING = 0.01;

/** The page before a photo is chosen. */
export function intro(categories: readonly string[]): HTMLElement {
  const known = categories.length
    ? make(
        "div",
        { class: "known" },
        make("h3", { class: "over", text: "The categories it knows" }),
        make(
          "ul",
          { class: "known-list" },
          ...categories.map((label) => make("li", { class: "label", theirs: label })),
        ),
      )
    : null;
  return make(
    "div",
    { class: "intro" },
    make(
      "h2",
      { class: "display" },
      make("span", { text: "Show it a product. " }),
      make("span", { text: "See what each shop asks for it." }),
    ),
    make("p", {
      class: "lead",
      text: "One photo is enough. It is compared with the photos of the shops we read, and answered with the product’s category, the same or similar products, and their prices.",
    }),
    known,
  );
}

/** The category, how sure the model is, and what else it may be. */
export function category(result: Classification): HTMLElement {
  const first = result.labels[0];
  if (result.unknown || !first) return doubt(result.labels.slice(0, LABELS_SHOWN));
  const others = result.labels.slice(1, LABELS_SHOWN).filter((one) => one.probability >= WORTH_SHOWING);
  return make(
    "div",
    { class: "category" },
    make("h2", { class: "verdict label", theirs: first.label }),
    make("p", { class: "note", text: `${percentText(first.probability)} sure` }),
    track(first.probability, "sure"),
    others.length ? make("h3", { class: "over", text: "It may also be" }) : null,
    likely(others),
  );
}

/** No category is likely enough to be named; the closest ones, said to be no more than that. */
function doubt(labels: readonly Label[]): HTMLElement {
  return make(
    "div",
    { class: "category" },
    make("h2", { class: "verdict", text: "Not sure" }),
    make("p", { class: "note", text: "No category fits this photo well enough. The closest:" }),
    likely(labels),
  );
}

function likely(labels: readonly Label[]): HTMLElement | null {
  return bars(
    labels.map(({ label, probability }) => ({ label, share: probability, text: percentText(probability) })),
  );
}

/** The matching products, best first; said of each group whether it is the product itself. */
export function products(suggestions: readonly Suggestion[]): HTMLElement {
  if (suggestions.length === 0) {
    return empty(
      "No matching products",
      "The shops we read sell nothing that looks like this.",
      make("a", { class: "quiet", text: "Browse all products", attributes: { href: "./browse.html" } }),
    );
  }
  const same = suggestions.filter((one) => one.same);
  const others = suggestions.filter((one) => !one.same);
  return make(
    "div",
    { class: "products" },
    same.length === 0
      ? make(
          "div",
          { class: "told none" },
          make("h2", { text: "No shop we read sells this" }),
          make("p", { class: "lead", text: "None of their photos shows this product. These only look like it." }),
        )
      : null,
    ...same.slice(0, 1).flatMap((one) => [heading("Best match"), product(one, "best")]),
    ...titled("It may also be", same.slice(1)),
    ...titled(same.length ? "Others that look like it" : "The closest", others),
  );
}

function titled(title: string, suggestions: readonly Suggestion[]): HTMLElement[] {
  if (suggestions.length === 0) return [];
  return [heading(title), ...suggestions.map((one) => product(one, "other"))];
}

function heading(text: string): HTMLElement {
  return make("h3", { class: "over", text });
}

function product(one: Suggestion, rank: "best" | "other"): HTMLElement {
  const marked = cheapest(one.offers);
  const saving = spread(one.offers);
  const several = currenciesOf(one.offers).length > 1;
  const shops = new Set(one.offers.map((offer) => offer.shop)).size;
  const own = one.offers.find((offer) => offer.title === one.title) ?? one.offers[0];
  const name = own
    ? make("a", { theirs: one.title, attributes: { href: productPage(own.product_id) } })
    : make("span", { theirs: one.title });
  const rows = one.offers.map((offer, at) => row(offer, marked.has(at), several));
  const note = [
    matchText(one.match, shops),
    saving ? `${priceText(saving.minor, saving.currency)} apart` : "",
    several ? "prices in different currencies are not compared" : "",
  ].filter(Boolean);
  return make(
    "article",
    { class: `product ${rank}` },
    thumb(one.photo_url),
    make(
      "div",
      { class: "facts" },
      make("h4", {}, name),
      make("p", { class: "note", text: similarityText(one.similarity) }),
      make("ul", { class: "offers" }, ...rows.slice(0, OFFERS_SHOWN)),
      further(rows.slice(OFFERS_SHOWN)),
      note.length ? make("p", { class: "note", text: note.join(" · ") }) : null,
    ),
  );
}

/** The dearer offers of what many shops sell, folded. */
function further(rows: readonly HTMLElement[]): HTMLElement | null {
  if (rows.length === 0) return null;
  return make(
    "details",
    {},
    make("summary", { text: countText(rows.length, "more offer", "more offers") }),
    make("ul", { class: "offers" }, ...rows),
  );
}

function row(offer: Offer, isCheapest: boolean, several: boolean): HTMLElement {
  const stock = make("span", { class: "stock", text: availabilityText(offer.availability) });
  stock.classList.toggle("gone", isGone(offer.availability));
  const tag = isCheapest ? cheapestTag(offer, several) : null;
  const state = make("span", { class: "state" }, stock, tag);
  const price = priceShown("span", offer.price_minor, offer.currency);
  const item = make("li", { class: "offer" }, shopLink(offer), state, price);
  item.classList.toggle("cheapest", isCheapest);
  return item;
}
