import { hasLists } from "./types.js";

/** A run of a crawl, as GET /crawls tells of it. */
export interface Run {
  run_id: string;
  spider: string;
  shop: string;
  base_url: string;
  status: "running" | "paused" | "finished" | "failed";
  finish_reason: string;
  started_at: string;
  finished_at: string;
  pages: number;
  items: number;
  photos: number;
  dropped: number;
  errors: number;
  todo: number;
  errors_by_reason: Record<string, number>;
  dropped_by_reason: Record<string, number>;
}

export function isRun(body: unknown): body is Run {
  return typeof (body as Partial<Run>).run_id === "string";
}

export interface Runs {
  crawls: Run[];
}

export const isRuns = hasLists<Runs>("crawls");

/** The answer of GET /why. */
export interface Why {
  why: string[];
}

export const isWhy = hasLists<Why>("why");

/** The stored photos of one day that one model saw. */
export interface Day {
  day: string;
  model_version: string;
  classified: number;
  unknown: number;
  unreadable: number;
}

export interface Days {
  days: Day[];
}

export const isDays = hasLists<Days>("days");

/** How good the model in use is on its test photos. */
export interface Evaluation {
  version: string;
  published_at: string;
  reason: string;
  trained_on: number;
  accuracy: number;
  accuracy_interval: [number, number] | null;
  photos: number;
  answered: number | null;
  answered_accuracy: number | null;
  labels: string[];
  per_class: Record<string, { count: number; recall: number | null; precision: number | null }>;
  /** The index of the true label, of the answered one, photos. */
  confusion: [number, number, number][];
}

export function isEvaluation(body: unknown): body is Evaluation {
  const { version, labels, confusion } = body as Partial<Evaluation>;
  return typeof version === "string" && Array.isArray(labels) && Array.isArray(confusion);
}
