import { type Label, hasLists } from "./types.js";

/** A photo that waits for a person. */
export interface DoubtfulPhoto {
  image_id: string;
  /** unsure: the model is; shelf: the shop's category and the photo disagree. */
  why: "unsure" | "shelf";
  labels: Label[];
  shop_label: string;
  photo_url: string;
  title: string;
  shop: string;
  url: string;
}

/** The answer of GET /reviews/photos. */
export interface DoubtfulPhotos {
  photos: DoubtfulPhoto[];
  waiting: number;
  labels: string[];
}

export const isDoubtfulPhotos = hasLists<DoubtfulPhotos>("photos", "labels");

export interface DoubtfulOffer {
  product_id: string;
  shop: string;
  title: string;
  brand: string;
  gtin: string;
  mpn: string;
  price_minor: number | null;
  currency: string;
  url: string;
  photo_url: string | null;
}

/** Two offers that may be one product. */
export interface DoubtfulMatch {
  match_id: string;
  one: DoubtfulOffer;
  other: DoubtfulOffer;
  reason: "gtin" | "mpn" | "name";
  why: string;
}

/** The answer of GET /reviews/matches. */
export interface DoubtfulMatches {
  matches: DoubtfulMatch[];
  waiting: number;
}

export const isDoubtfulMatches = hasLists<DoubtfulMatches>("matches");

/** What a shop's category is, by its photos or by a person. */
export interface MappedCategory {
  category_id: string;
  shop: string;
  category: string;
  unified: string;
  /** As what products are listed until the list is made anew. */
  listed: string;
  pinned: boolean;
  /** The weightiest first. */
  evidence: { label: string; weight: number; products: number }[];
}

/** The answer of GET /reviews/categories. */
export interface MappedCategories {
  categories: MappedCategory[];
  /** Of all, also of those that are not in this answer. */
  count: number;
  names: string[];
}

export const isMappedCategories = hasLists<MappedCategories>("categories", "names");

export type Kind = "photo" | "match" | "category";

export interface Decision {
  kind: Kind;
  about: string;
  said: string;
  by: string;
  at: string;
  seen: Record<string, string>;
  /** Of a photo: the model in use that learned from it; empty before that. */
  used_by?: string;
}

export function isDecision(body: unknown): body is Decision {
  return typeof (body as Partial<Decision>).said === "string";
}

/** The answer of GET /reviews/decisions. */
export interface Decisions {
  decisions: Decision[];
}

export const isDecisions = hasLists<Decisions>("decisions");

export interface Undone {
  undone: boolean;
}

export function isUndone(body: unknown): body is Undone {
  return typeof (body as Partial<Undone>).undone === "boolean";
}
