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

/** The page before a photo is chosen. */
export function intro(categories: readonly string[]): HTMLElement {
  const known = categories.length
    ? make(
        "div",
        { class: "known" },
        make("h2", { class: "over", text: "What it knows" }),
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
    make("h1", { text: "Show it a product. See what each shop asks for it." }),
    make("p", {
      class: "lead",
      text: "One photo is enough. It is compared with the photos of the shops we read, and answered with the product’s category, the same or similar products, and their prices.",
    }),
    known,
  );
}

/** What stands beside the photo while the answer is on its way. */
export function waiting(note: string): HTMLElement {
  const rows = [0, 1, 2].map(() =>
    make(
      "div",
      { class: "ghost" },
      make("div", { class: "ghost-photo" }),
      make("div", { class: "ghost-lines" }, make("i"), make("i"), make("i")),
    ),
  );
  const ghosts = make("div", {}, ...rows);
  ghosts.setAttribute("aria-hidden", "true");
  return make("div", { class: "waiting" }, make("p", { class: "note", text: note }), ghosts);
}

/** A trouble, with a way on. */
export function trouble(title: string, detail: string, retry: (() => void) | null): HTMLElement {
  const again = retry ? make("button", { class: "primary", text: "Try again" }) : null;
  if (again && retry) {
    again.type = "button";
    again.addEventListener("click", retry);
  }
  return make(
    "div",
    { class: "trouble" },
    make("h1", { text: title }),
    make("p", { class: "lead", text: detail }),
    again,
  );
}

/** The category, how sure the model is, and what else it may be. */
export function category(result: Classification): HTMLElement {
  const labels = result.labels.slice(0, LABELS_SHOWN);
  const first = labels[0];
  const heading =
    result.unknown || !first
      ? make("h1", { class: "verdict", text: "Not sure" })
      : make("h1", { class: "verdict label", text: first.label });
  const doubt =
    result.unknown || !first
      ? make("p", { class: "doubt", text: "This looks like none of the categories well enough. Closest:" })
      : null;
  const bars = make("ol", { class: "bars" }, ...labels.map(bar));
  if (!result.unknown) bars.classList.add("sure");
  return make("div", { class: "category" }, heading, doubt, bars);
}

function bar({ label, probability }: Label): HTMLElement {
  const fill = make("span", { class: "fill" });
  fill.style.inlineSize = `${Math.max(0.5, Math.min(1, probability) * 100)}%`;
  const track = make("span", { class: "track" }, fill);
  track.setAttribute("aria-hidden", "true");
  return make(
    "li",
    {},
    make("span", { class: "label", text: label }),
    make("span", { class: "percent", text: percentText(probability) }),
    track,
  );
}

/** The matching products, best first. */
export function products(suggestions: readonly Suggestion[]): HTMLElement {
  if (suggestions.length === 0) {
    return make(
      "div",
      { class: "products" },
      make("h1", { text: "No matching products" }),
      make("p", { class: "lead", text: "The shops we read sell nothing that looks like this." }),
    );
  }
  return make(
    "div",
    { class: "products" },
    make("h2", { class: "over", text: "Best match" }),
    ...suggestions.slice(0, 1).map((one) => product(one, "best")),
    suggestions.length > 1 ? make("h2", { class: "over", text: "Others that look like it" }) : null,
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
      make("h3", { text: one.title }),
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
  const item = make(
    "li",
    { class: "offer" },
    name,
    stock,
    isCheapest ? make("span", { class: "tag", text: "Cheapest" }) : null,
    price,
  );
  item.classList.toggle("cheapest", isCheapest);
  return item;
}
