import type { Offer, Suggestion } from "./types.js";

const NOT_TO_BE_HAD = "out_of_stock";

/** A price in the reader's own notation; the currency says how many decimals its units have. */
export function priceText(minor: number, currency: string, locale?: string): string {
  let format: Intl.NumberFormat;
  try {
    format = new Intl.NumberFormat(locale, { style: "currency", currency });
  } catch {
    const amount = new Intl.NumberFormat(locale, { minimumFractionDigits: 2 }).format(minor / 100);
    return `${amount} ${currency}`.trim(); // a currency the browser does not know
  }
  const decimals = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(minor / 10 ** decimals);
}

/** The places of the cheapest offers that can be had; none where there is nothing to compare. */
export function cheapest(offers: readonly Offer[]): ReadonlySet<number> {
  const priced = offers.filter((offer) => offer.price_minor !== null);
  const currencies = new Set(priced.map((offer) => offer.currency));
  if (priced.length < 2 || currencies.size !== 1) return new Set();
  const open = priced.filter((offer) => offer.availability !== NOT_TO_BE_HAD);
  const least = Math.min(...open.map((offer) => offer.price_minor ?? Infinity));
  const places = offers.flatMap((offer, at) =>
    offer.price_minor === least && open.includes(offer) ? [at] : [],
  );
  return places.length < priced.length ? new Set(places) : new Set();
}

/** What the buyer saves by the marked offer against the dearest one, in minor units, if anything. */
export function spread(offers: readonly Offer[]): { minor: number; currency: string } | null {
  const marked = cheapest(offers);
  const [first] = marked;
  if (first === undefined) return null;
  const least = offers[first]?.price_minor ?? 0;
  const most = Math.max(...offers.map((offer) => offer.price_minor ?? 0));
  return most > least ? { minor: most - least, currency: offers[first]?.currency ?? "" } : null;
}

/** How alike the photos are, in words. */
export function similarityText(similarity: number): string {
  if (similarity >= 0.95) return "Looks the same";
  if (similarity >= 0.8) return "Looks very similar";
  if (similarity >= 0.6) return "Looks similar";
  return "Looks a little similar";
}

/** Why offers of several shops are held to be one product. */
export function matchText(match: Suggestion["match"], shops: number): string {
  if (shops < 2) return "In one shop";
  const where = `In ${shops} shops`;
  if (match === "gtin") return `${where}, matched by barcode number`;
  if (match === "mpn") return `${where}, matched by model number`;
  if (match === "name") return `${where}, matched by name and photo`;
  return where;
}

/** Whether it can be bought; empty where the shop does not say. */
export function availabilityText(availability: string): string {
  if (availability === "in_stock") return "In stock";
  if (availability === NOT_TO_BE_HAD) return "Out of stock";
  if (availability === "preorder") return "Pre-order";
  return "";
}

/** A probability in whole percent; never 0 or 100, for a model is never that sure. */
export function percentText(probability: number, locale?: string): string {
  const within = Math.min(0.99, Math.max(0.01, probability));
  const text = new Intl.NumberFormat(locale, { style: "percent" }).format(within);
  if (probability < 0.01) return `< ${text}`;
  return probability > 0.99 ? `> ${text}` : text;
}

/** The text with a capital first and a full stop last, as a sentence stands on a page. */
export function sentenceOf(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}

/** The address if it is one that may be linked to (http or https), else null. */
export function webAddress(text: string | null, base?: string): string | null {
  if (!text) return null;
  try {
    const url = new URL(text, base);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
