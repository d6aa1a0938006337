import { make } from "./dom.js";
import {
  availabilityText,
  cheapest,
  matchText,
  percentText,
  priceText,
  similarityText,
  spread,
  webAddress,
} from "./format.js";
import type { Classification, Label, Offer, Suggestion } from "./types.js";

const LABELS_SHOWN = 4;
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
          ...categories.map((label) => make("li", { class: "label", text: label })),
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
    make("h2", { class: "verdict label", text: first.label }),
    make("p", { class: "note", text: `${percentText(first.probability)} sure` }),
    track(first.probability, "sure"),
    others.length ? make("h3", { class: "over", text: "It may also be" }) : null,
    bars(others),
  );
}

/** No category is likely enough to be named; the closest ones, said to be no more than that. */
function doubt(labels: readonly Label[]): HTMLElement {
  return make(
    "div",
    { class: "category" },
    make("h2", { class: "verdict", text: "Not sure" }),
    make("p", { class: "note", text: "No category fits this photo well enough. The closest:" }),
    bars(labels),
  );
}

function bars(labels: readonly Label[]): HTMLElement | null {
  if (labels.length === 0) return null;
  return make(
    "ol",
    { class: "bars" },
    ...labels.map(({ label, probability }) =>
      make(
        "li",
        {},
        make("span", { class: "label", text: label }),
        make("span", { class: "percent", text: percentText(probability) }),
        track(probability),
      ),
    ),
  );
}

function track(probability: number, kind = ""): HTMLElement {
  const fill = make("span", { class: "fill" });
  fill.style.inlineSize = `${Math.max(0.5, Math.min(1, probability) * 100)}%`;
  const whole = make("span", { class: `track ${kind}`.trim() }, fill);
  whole.setAttribute("aria-hidden", "true"); // the percentage stands beside it
  return whole;
}

/** The matching products, best first. */
export function products(suggestions: readonly Suggestion[]): HTMLElement {
  if (suggestions.length === 0) {
    return make(
      "div",
      { class: "products" },
      make("h2", { text: "No matching products" }),
      make("p", { class: "lead", text: "The shops we read sell nothing that looks like this." }),
    );
  }
  return make(
    "div",
    { class: "products" },
    make("h3", { class: "over", text: "Best match" }),
    ...suggestions.slice(0, 1).map((one) => product(one, "best")),
    suggestions.length > 1 ? make("h3", { class: "over", text: "Others that look like it" }) : null,
    ...suggestions.slice(1).map((one) => product(one, "other")),
  );
}

function product(one: Suggestion, rank: "best" | "other"): HTMLElement {
  const marked = cheapest(one.offers);
  const saving = spread(one.offers);
  const shops = new Set(one.offers.map((offer) => offer.shop)).size;
  return make(
    "article",
    { class: `product ${rank}` },
    photo(one),
    make(
      "div",
      { class: "facts" },
      make("h4", { text: one.title }),
      make("p", { class: "note", text: similarityText(one.similarity) }),
      make("ul", { class: "offers" }, ...one.offers.map((offer, at) => row(offer, marked.has(at)))),
      make(
        "p",
        { class: "note" },
        document.createTextNode(matchText(one.match, shops)),
        saving ? document.createTextNode(` · ${priceText(saving.minor, saving.currency)} apart`) : null,
      ),
    ),
  );
}

function photo(one: Suggestion): HTMLElement {
  const holder = make("div", { class: "thumb" });
  const address = webAddress(one.photo_url, document.baseURI);
  if (address) {
    const image = make("img");
    image.alt = "";
    image.decoding = "async";
    image.referrerPolicy = "no-referrer";
    image.addEventListener("error", () => image.remove());
    image.src = address;
    holder.append(image);
  }
  return holder;
}

function row(offer: Offer, isCheapest: boolean): HTMLElement {
  const address = webAddress(offer.url);
  const name = address ? make("a", { text: offer.shop }) : make("span", { text: offer.shop });
  if (name instanceof HTMLAnchorElement && address) {
    name.href = address;
    name.rel = "noopener noreferrer";
    name.target = "_blank";
    name.title = offer.title;
  }
  name.classList.add("shop");
  const price =
    offer.price_minor === null
      ? make("span", { class: "price none", text: "No price shown" })
      : make("span", { class: "price", text: priceText(offer.price_minor, offer.currency) });
  const stock = make("span", { class: "stock", text: availabilityText(offer.availability) });
  stock.classList.toggle("gone", offer.availability === "out_of_stock");
  const tag = isCheapest ? make("span", { class: "tag", text: "Cheapest" }) : null;
  const item = make("li", { class: "offer" }, name, make("span", { class: "state" }, stock, tag), price);
  item.classList.toggle("cheapest", isCheapest);
  return item;
}
