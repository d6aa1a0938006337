import { draw, make } from "./dom.js";
import { dayText, priceText } from "./format.js";
import { type Figures, ticks, time } from "./history.js";
import type { PricePoint } from "./types.js";

const HEIGHT = 240;
const ROOM = { top: 14, right: 14, bottom: 28, left: 8 };
const LETTER = 7; // of 12 px, about
const FLAT = 0.05; // room above and below a price that never moved, as a share of it
const FAR = 2; // a waiting price so many times off would press the rest flat: it stands at the edge

/**
 * The history as a stepped line: a price holds until the next was seen, the last until `end`.
 * Points that wait for confirmation stand apart as rings. Drawn anew when its width changes.
 */
export function chart(
  prices: readonly PricePoint[],
  waiting: readonly PricePoint[],
  figures: Figures,
  end: number,
): HTMLElement {
  const currency = prices[0]?.currency ?? "";
  const told =
    `Prices from ${dayText(prices[0]?.observed_at ?? "")} on: lowest ${priceText(figures.lowest, currency)}, ` +
    `average ${priceText(figures.average, currency)}, highest ${priceText(figures.highest, currency)}.`;
  const holder = make("div", { class: "chart", attributes: { role: "img", "aria-label": told } });
  let width = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth === width || holder.clientWidth === 0) return;
    width = holder.clientWidth;
    holder.replaceChildren(drawn(prices, waiting, figures, end, width));
  }).observe(holder);
  return holder;
}

function drawn(
  prices: readonly PricePoint[],
  waiting: readonly PricePoint[],
  figures: Figures,
  end: number,
  width: number,
): SVGSVGElement {
  const currency = prices[0]?.currency ?? "";
  const near = waiting
    .map((point) => point.price_minor)
    .filter((price) => price < figures.highest * FAR && price > figures.lowest / FAR);
  const [low, high] = [Math.min(figures.lowest, ...near), Math.max(figures.highest, ...near)];
  const margin = low === high ? Math.max(1, high * FLAT) : 0;
  const levels = ticks(low - margin, high + margin);
  const [least, most] = [levels[0] ?? 0, levels[levels.length - 1] ?? 1];
  const names = levels.map((level) => priceText(level, currency));
  const left = ROOM.left + LETTER * Math.max(...names.map((name) => name.length)) + 8;
  const start = Math.min(...[...prices, ...waiting].map(time));
  const seen = Math.max(end, ...waiting.map(time));
  const last = Math.max(seen, start + 1);
  const x = (at: number) => left + ((at - start) / (last - start)) * (width - left - ROOM.right);
  const y = (price: number) => {
    const within = Math.min(most, Math.max(least, price));
    const share = (within - least) / (most - least);
    return HEIGHT - ROOM.bottom - share * (HEIGHT - ROOM.top - ROOM.bottom);
  };
  const [firstDay, lastDay] = [start, seen].map((at) => dayText(new Date(at).toISOString()));
  const until = Math.max(end, ...prices.map(time));
  const path = prices
    .map((point, at) => `${at ? "H" : "M"}${x(time(point))}${at ? "V" : " "}${y(point.price_minor)}`)
    .join("");
  const dot = (point: PricePoint, kind: string, note: string) =>
    draw(
      "circle",
      { class: kind, cx: x(time(point)), cy: y(point.price_minor), r: 4.5 },
      draw("title", {}, `${dayText(point.observed_at)}: ${priceText(point.price_minor, currency)}${note}`),
    );
  return draw(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    ...levels.flatMap((level, at) => [
      draw("line", { class: "level", x1: left, x2: width - ROOM.right, y1: y(level), y2: y(level) }),
      draw("text", { class: "end", x: left - 10, y: y(level) + 4 }, names[at] ?? ""),
    ]),
    draw("text", { x: left, y: HEIGHT - 6 }, firstDay ?? ""),
    firstDay === lastDay
      ? null
      : draw("text", { class: "end", x: width - ROOM.right, y: HEIGHT - 6 }, lastDay ?? ""),
    draw("line", {
      class: "average",
      x1: left,
      x2: width - ROOM.right,
      y1: y(figures.average),
      y2: y(figures.average),
    }),
    draw("path", { class: "line", d: `${path}H${x(until)}` }),
    ...prices.map((point) => dot(point, "dot", "")),
    ...waiting.map((point) => dot(point, "ring", ", waits for confirmation")),
  );
}
