import type { Match, Offer } from "./types.js";

const NOT_TO_BE_HAD = "out_of_stock";
const OLD_DAYS = 30;
const A_DAY = "2026-11-22";

/** Whether an offer of this availability cannot be bought. */
export function isGone(availability: string): boolean {
  return availability === NOT_TO_BE_HAD;
}

/** A price in the reader's own notation; the currency says how many decimals its units have. */
export function priceText(minor: number, currency: string, locale?: string): string {
  const format = currencyFormat(currency, locale);
  if (format) return format.format(minor / 10 ** decimalsOf(currency));
  const amount = new Intl.NumberFormat(locale, { minimumFractionDigits: 2 }).format(minor / 100);
  return `${amount} ${currency}`.trim(); // a currency the browser does not know
}

/** How many decimals a currency's prices have; 2 where the browser does not know it. */
function decimalsOf(currency: string): number {
  return currencyFormat(currency)?.resolvedOptions().maximumFractionDigits ?? 2;
}

/** What a person typed as a price ("1299", "12.50", "12,50") in minor units; null if it is none. */
export function minorOf(typed: string, currency: string): number | null {
  const plain = typed.trim().replace(",", ".");
  if (!/^\d{1,12}(\.\d+)?$/.test(plain)) return null;
  return Math.round(Number(plain) * 10 ** decimalsOf(currency));
}

function currencyFormat(currency: string, locale?: string): Intl.NumberFormat | null {
  try {
    return new Intl.NumberFormat(locale, { style: "currency", currency });
  } catch {
    return null;
  }
}

/** The currencies of the offers' prices, each once. */
export function currenciesOf(offers: readonly Offer[]): string[] {
  return [...new Set(offers.filter(isPriced).map((offer) => offer.currency))];
}

/**
 * The places of the cheapest offers that can be had, for each currency apart; none of a currency
 * in which there is nothing to compare.
 */
export function cheapest(offers: readonly Offer[]): ReadonlySet<number> {
  return new Set(currenciesOf(offers).flatMap((currency) => cheapestIn(offers, currency)));
}

function cheapestIn(offers: readonly Offer[], currency: string): number[] {
  const priced = offers.filter((offer) => isPriced(offer) && offer.currency === currency);
  if (priced.length < 2) return [];
  const open = priced.filter((offer) => !isGone(offer.availability));
  const least = Math.min(...open.map((offer) => offer.price_minor ?? Infinity));
  const places = offers.flatMap((offer, at) =>
    offer.price_minor === least && open.includes(offer) ? [at] : [],
  );
  return places.length < priced.length ? places : [];
}

function isPriced(offer: Offer): boolean {
  return offer.price_minor !== null;
}

/** What the buyer saves by the marked offer against the dearest one, in minor units, if anything. */
export function spread(offers: readonly Offer[]): { minor: number; currency: string } | null {
  const [first] = cheapest(offers);
  if (first === undefined || currenciesOf(offers).length !== 1) return null;
  const least = offers[first]?.price_minor ?? 0;
  const most = Math.max(...offers.map((offer) => offer.price_minor ?? 0));
  return most > least ? { minor: most - least, currency: offers[first]?.currency ?? "" } : null;
}

/**
 * The offers as the service orders them: by price, those without one last, currencies not mixed:
 * that of most offers first.
 */
export function cheapestFirst(offers: readonly Offer[]): Offer[] {
  const number = (offer: Offer) =>
    offers.filter((one) => isPriced(one) && one.currency === offer.currency).length;
  return [...offers].sort(
    (one, other) =>
      Number(!isPriced(one)) - Number(!isPriced(other)) ||
      number(other) - number(one) ||
      one.currency.localeCompare(other.currency) ||
      (one.price_minor ?? 0) - (other.price_minor ?? 0),
  );
}

/** How alike the photos are, in words. */
export function similarityText(similarity: number): string {
  if (similarity >= 0.95) return "Looks the same";
  if (similarity >= 0.8) return "Looks very similar";
  if (similarity >= 0.6) return "Looks similar";
  return "Looks a little similar";
}

/** Why offers of several shops are held to be one product; empty for one shop. */
export function matchText(match: Match, shops: number): string {
  if (shops < 2) return "";
  const where = `In ${shops} shops`;
  if (match === "gtin") return `${where}, matched by barcode number`;
  if (match === "mpn") return `${where}, matched by model number`;
  if (match === "name") return `${where}, matched by name and photo`;
  if (match === "person") return `${where}, matched by a person`;
  return where;
}

/** Whether it can be bought; empty where the shop does not say. */
export function availabilityText(availability: string): string {
  if (availability === "in_stock") return "In stock";
  if (isGone(availability)) return "Out of stock";
  if (availability === "preorder") return "Pre-order";
  return "";
}

/** A number of things: "1 product", "1,204 products". */
export function countText(count: number, one: string, many: string, locale?: string): string {
  return `${new Intl.NumberFormat(locale).format(count)} ${count === 1 ? one : many}`;
}

/** The day of a time (ISO 8601) in the reader's own notation; empty for what is no time. */
export function dayText(iso: string, locale?: string): string {
  return dateText(iso, { dateStyle: "medium" }, locale);
}

/** As `dayText`, without the year. */
export function shortDayText(iso: string, locale?: string): string {
  return dateText(iso, { month: "short", day: "numeric" }, locale);
}

/** The day and the time of day, as `dayText`. */
export function timeText(iso: string, locale?: string): string {
  return dateText(iso, { dateStyle: "medium", timeStyle: "short" }, locale);
}

function dateText(iso: string, options: Intl.DateTimeFormatOptions, locale?: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return "";
  const zone = iso.length === A_DAY.length ? { timeZone: "UTC" } : {}; // a day is that day everywhere
  return new Intl.DateTimeFormat(locale, { ...options, ...zone }).format(time);
}

/** Whether what was seen then may be no more: longer ago than crawls are apart. */
export function isOld(iso: string, now: number, days = OLD_DAYS): boolean {
  return now - new Date(iso).getTime() > days * 86_400_000;
}

/** The address of a product's own page. */
export function productPage(productId: string): string {
  return `./product.html?id=${encodeURIComponent(productId).replaceAll("%3A", ":")}`;
}

/** A probability in whole percent; never 0 or 100, for a model is never that sure. */
export function percentText(probability: number, locale?: string): string {
  const within = Math.min(0.99, Math.max(0.01, probability));
  const text = new Intl.NumberFormat(locale, { style: "percent" }).format(within);
  if (probability < 0.01) return `< ${text}`;
  return probability > 0.99 ? `> ${text}` : text;
}

/** A share of things that were counted, in whole percent; all of them are 100. */
export function shareText(share: number, locale?: string): string {
  return new Intl.NumberFormat(locale, { style: "percent" }).format(share);
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
