import { minorOf } from "./format.js";

/** What is asked for on the page; "" or false: whatever. Prices as a person types them. */
export interface Wanted {
  q: string;
  category: string;
  shop: string;
  in_stock: boolean;
  currency: string;
  min: string;
  max: string;
}

export const EVERYTHING: Wanted = {
  q: "",
  category: "",
  shop: "",
  in_stock: false,
  currency: "",
  min: "",
  max: "",
};

const MOST_MINOR = 100_000_000; // what the service takes as a limit

/** What the address of the page asks for; what makes no sense in it is left out. */
export function readWanted(search: string): Wanted {
  const given = new URLSearchParams(search);
  const text = (name: string) => (given.get(name) ?? "").slice(0, 200);
  const currency = text("currency").toUpperCase();
  return {
    q: text("q"),
    category: text("category"),
    shop: text("shop"),
    in_stock: text("in_stock") === "true",
    currency: /^[A-Z]{3}$/.test(currency) ? currency : "",
    min: text("min"),
    max: text("max"),
  };
}

/** The address that asks for it: only what is asked for stands in it. */
export function searchOf(wanted: Wanted): string {
  const shown = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value) shown.set(name, String(value));
  }
  const text = shown.toString();
  return text ? `?${text}` : "";
}

/** What is wrong with the prices, in a sentence; "" if nothing is. */
export function priceFault(wanted: Wanted): string {
  for (const typed of [wanted.min, wanted.max]) {
    if (typed.trim() && minorOf(typed, wanted.currency) === null) {
      return `“${typed.trim().slice(0, 20)}” is no price.`;
    }
  }
  const [least, most] = [limit(wanted.min, wanted.currency), limit(wanted.max, wanted.currency)];
  return least !== null && most !== null && least > most ? "The lowest price is above the highest." : "";
}

/** The query of GET /products; a price that is none is left out. */
export function queryOf(wanted: Wanted, limitTo: number, cursor = ""): Record<string, string> {
  const { q, category, shop, currency } = wanted;
  const asked: Record<string, string> = { limit: String(limitTo) };
  for (const [name, value] of Object.entries({ q: q.trim(), category, shop, currency, cursor })) {
    if (value) asked[name] = value;
  }
  if (wanted.in_stock) asked["in_stock"] = "true";
  const [least, most] = [limit(wanted.min, currency), limit(wanted.max, currency)];
  if (currency && least !== null) asked["min_minor"] = String(Math.min(least, MOST_MINOR));
  if (currency && most !== null && most < MOST_MINOR) asked["max_minor"] = String(most);
  return asked;
}

function limit(typed: string, currency: string): number | null {
  return typed.trim() ? minorOf(typed, currency) : null;
}
