import type { PricePoint } from "./types.js";

/** Lowest, average and highest price, in minor units. The average is over time, not over points. */
export interface Figures {
  lowest: number;
  average: number;
  highest: number;
}

/** The points in the currency of the newest: prices in different ones have no common scale. */
export function inOneCurrency(points: readonly PricePoint[]): PricePoint[] {
  const newest = points[points.length - 1];
  return points.filter((point) => point.currency === newest?.currency);
}

/**
 * The figures of a history, oldest first, in one currency. A price holds from when it was seen
 * until the next one was, the last one until `end` (ms). Null without points.
 */
export function figuresOf(points: readonly PricePoint[], end: number): Figures | null {
  const [first] = points;
  if (!first) return null;
  const prices = points.map((point) => point.price_minor);
  const held = points.map((point, at) => {
    const next = points[at + 1];
    return Math.max(0, (next ? time(next) : end) - time(point));
  });
  const whole = held.reduce((sum, one) => sum + one, 0);
  const weighed = prices.reduce((sum, price, at) => sum + price * (held[at] ?? 0), 0);
  const average = whole > 0 ? weighed / whole : (prices[prices.length - 1] ?? 0);
  return { lowest: Math.min(...prices), average: Math.round(average), highest: Math.max(...prices) };
}

/** Round values that cover a range, about `count` of them: 1, 2 or 5 of a power of ten apart. */
export function ticks(least: number, most: number, count = 4): number[] {
  const rough = Math.max(1, (most - least) / count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10);
  const first = Math.floor(least / step);
  const last = Math.max(first + 1, Math.ceil(most / step));
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
}

export function time(point: PricePoint): number {
  return new Date(point.observed_at).getTime();
}
