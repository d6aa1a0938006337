import { make } from "./dom.js";
import { availabilityText, isGone, priceText, productPage, webAddress } from "./format.js";
import { ghostLines } from "./states.js";
import type { Offer } from "./types.js";

/** What a card shows of a product. */
export interface Shown {
  productId: string;
  title: string;
  /** A word below the title: the shop, or how alike it is. */
  note: string;
  photoUrl: string | null;
  priceMinor: number | null;
  currency: string;
  availability: string;
  /** Before the price: "from". */
  before?: string;
}

/** Products side by side, each a link to its page. */
export function cards(products: readonly Shown[]): HTMLElement {
  return make("ul", { class: "cards" }, ...products.map(card));
}

function card(one: Shown): HTMLElement {
  const link = make("a", { theirs: one.title, attributes: { href: productPage(one.productId) } });
  return make(
    "li",
    { class: "card" },
    thumb(one.photoUrl),
    make("h3", {}, link),
    make("p", { class: "note", text: one.note }),
    priceShown("p", one.priceMinor, one.currency, one.before),
    isGone(one.availability)
      ? make("p", { class: "stock gone", text: availabilityText(one.availability) })
      : null,
  );
}

/** A price, or that none is shown. before: a word before it. */
export function priceShown(
  tag: "p" | "span",
  minor: number | null,
  currency: string,
  before = "",
): HTMLElement {
  if (minor === null) return make(tag, { class: "price none", text: "No price shown" });
  return make(tag, { class: "price", text: `${before} ${priceText(minor, currency)}`.trim() });
}

/** The word on the cheapest offer. several: whether there are prices in other currencies. */
export function cheapestTag(offer: Offer, several: boolean): HTMLElement {
  const text = several ? `Cheapest in ${offer.currency}` : "Cheapest";
  return make("span", { class: "tag", text });
}

/** The shapes of cards that are on their way. */
export function ghostCards(count = 8): HTMLElement {
  const ghost = () =>
    make(
      "div",
      { class: "ghost-card" },
      make("div", { class: "ghost-photo" }),
      ghostLines(2),
    );
  return make("div", { class: "cards" }, ...Array.from({ length: count }, ghost));
}

/** A photo in its frame, which stays empty where there is none or it cannot be had. */
export function thumb(photoUrl: string | null, alt = ""): HTMLElement {
  const holder = make("div", { class: "thumb" });
  const address = webAddress(photoUrl, document.baseURI);
  if (address) {
    const image = make("img", { attributes: { alt, decoding: "async", loading: "lazy" } });
    image.referrerPolicy = "no-referrer";
    image.addEventListener("error", () => image.remove());
    image.src = address;
    holder.append(image);
  }
  return holder;
}

/** The shop's name, as a link to its own page of the product where it has one. */
export function shopLink(offer: Offer): HTMLElement {
  const address = webAddress(offer.url);
  if (!address) return make("span", { class: "shop", theirs: offer.shop });
  const attributes = { href: address, rel: "noopener noreferrer", target: "_blank", title: offer.title };
  return make(
    "a",
    { class: "shop", theirs: offer.shop, attributes },
    make("span", { class: "heard", text: " (opens the shop in a new tab)" }),
  );
}

/** Categories, each with a text and a bar as long as its share (0..1); null for none. */
export function bars(rows: readonly { label: string; share: number; text: string }[]): HTMLElement | null {
  if (rows.length === 0) return null;
  return make(
    "ol",
    { class: "bars" },
    ...rows.map(({ label, share, text }) =>
      make(
        "li",
        {},
        make("span", { class: "label", theirs: label }),
        make("span", { class: "percent", text }),
        track(share),
      ),
    ),
  );
}

/** A bar filled to a share (0..1), which stands beside it as a text. */
export function track(share: number, kind = ""): HTMLElement {
  const fill = make("span", { class: "fill" });
  fill.style.inlineSize = `${Math.max(0.5, Math.min(1, share) * 100)}%`;
  return make("span", { class: `track ${kind}`.trim(), attributes: { "aria-hidden": "true" } }, fill);
}
