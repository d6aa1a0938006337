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

export function isModel(body: unknown): body is Model {
  return Array.isArray((body as Partial<Model>).labels);
}

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
  photo_url: string | null;
  match: "gtin" | "mpn" | "name" | "";
  offers: Offer[];
}

export interface Offer {
  product_id: string;
  shop: string;
  title: string;
  price_minor: number | null;
  currency: string;
  availability: string;
  url: string;
  photo_url: string | null;
}
