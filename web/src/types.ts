/** Whether an answer is a T: one whose fields of these names are lists. */
export function hasLists<T>(...names: (keyof T)[]): (body: unknown) => body is T {
  return (body): body is T => names.every((name) => Array.isArray((body as Partial<T>)[name]));
}

/** The answer of POST /suggestions, as the API documents it. */
export interface Answer {
  classification: Classification;
  suggestions: Suggestion[];
}

export function isAnswer(body: unknown): body is Answer {
  const { classification, suggestions } = body as Partial<Answer>;
  return Array.isArray(classification?.labels) && Array.isArray(suggestions);
}

/** The answer of GET /model. */
export interface Model {
  version: string;
  labels: string[];
}

export const isModel = hasLists<Model>("labels");

export interface Classification {
  labels: Label[];
  unknown: boolean;
  model_version: string;
}

export interface Label {
  label: string;
  /** 0..1 */
  probability: number;
}

/** One product, with its offers in all shops. */
export interface Suggestion {
  title: string;
  category: string;
  /** 0..1 */
  similarity: number;
  /** Whether the photo asked for shows this product itself. */
  same: boolean;
  photo_url: string | null;
  match: Match;
  offers: Offer[];
}

/** What offers were matched by; empty for a single one. */
export type Match = "gtin" | "mpn" | "name" | "person" | "";

export interface Offer {
  product_id: string;
  shop: string;
  title: string;
  price_minor: number | null;
  currency: string;
  availability: string;
  url: string;
  photo_url: string | null;
  /** ISO 8601: when the shop's page was last seen; empty where nobody wrote it down. */
  observed_at: string;
}

/** A product of the list that is browsed. */
export interface Listed {
  product_id: string;
  shop: string;
  title: string;
  category: string;
  price_minor: number | null;
  currency: string;
  availability: string;
  photo_url: string | null;
}

/** The answer of GET /products. */
export interface ListedPage {
  products: Listed[];
  /** Of the next page; empty at the end. */
  cursor: string;
  /** Of all that match, with the first page; null where there are too many to count. */
  count: number | null;
  /** When the list was made; null before the first. */
  listed_at: string | null;
}

export function isListedPage(body: unknown): body is ListedPage {
  const { products, cursor } = body as Partial<ListedPage>;
  return Array.isArray(products) && typeof cursor === "string";
}

/** The answer of GET /categories. */
export interface Categories {
  categories: { category: string; products: number; shops: Record<string, number> }[];
  currencies: string[];
}

export const isCategories = hasLists<Categories>("categories", "currencies");

/** The answer of GET /products/{product_id}. */
export interface Product {
  product_id: string;
  shop: string;
  title: string;
  category: string;
  description: string;
  brand?: string;
  url: string;
  observed_at: string;
  photo_urls: string[];
  match: Match;
  offers: Offer[];
}

export function isProduct(body: unknown): body is Product {
  const { product_id, photo_urls, offers } = body as Partial<Product>;
  return typeof product_id === "string" && Array.isArray(photo_urls) && Array.isArray(offers);
}

/** A price that a page showed from a time on. */
export interface PricePoint {
  observed_at: string;
  price_minor: number;
  currency: string;
  flag: string;
}

/** The answer of GET /products/{product_id}/prices: the history, and what waits for a second look. */
export interface PriceHistory {
  prices: PricePoint[];
  waiting: PricePoint[];
}

export const isPriceHistory = hasLists<PriceHistory>("prices", "waiting");

/** The answer of GET /products/{product_id}/suggestions. */
export interface Like {
  product: Suggestion | null;
  suggestions: Suggestion[];
}

export const isLike = hasLists<Like>("suggestions");
