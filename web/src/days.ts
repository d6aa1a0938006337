import { draw, make, scroll, table } from "./dom.js";
import { countText, dayText, shareText } from "./format.js";
import type { Day } from "./operations-types.js";

const HEIGHT = 180;
const ROOM = { top: 12, right: 10, bottom: 26, left: 48 };
const SLOT = 28; // of one day

/** The share of photos that the model was not sure of, by day: a chart, and the same as a table. */
export function daysShown(days: readonly Day[]): HTMLElement {
  const all = days.reduce((sum, one) => sum + one.classified, 0);
  const unknown = days.reduce((sum, one) => sum + one.unknown, 0);
  const [first, last] = [days[0]?.day ?? "", days[days.length - 1]?.day ?? ""];
  const when = first === last ? `on ${dayText(first)}` : `from ${dayText(first)} to ${dayText(last)}`;
  const told = ` of ${countText(all, "photo", "photos")} that arrived ${when}`;
  return make(
    "div",
    {},
    make("p", { class: "figure" }, make("strong", { text: unsureText(unknown, all) }), told),
    make(
      "div",
      { class: "scroll chart", attributes: { role: "img", "aria-label": `Share of unsure photos by day: ${unsureText(unknown, all)}${told}.` } },
      drawn(days),
    ),
    daysTable(days),
  );
}

function unsureText(part: number, all: number): string {
  return part ? shareText(part / all) : "None";
}

/** A bar a day; a model that is new begins with a line. */
function drawn(days: readonly Day[]): SVGSVGElement {
  const shares = days.map((one) => (one.classified ? one.unknown / one.classified : 0));
  const most = [0.05, 0.1, 0.25, 0.5, 1].find((level) => level >= Math.max(...shares)) ?? 1;
  const width = ROOM.left + ROOM.right + SLOT * Math.max(days.length, 8);
  const y = (share: number) => HEIGHT - ROOM.bottom - (share / most) * (HEIGHT - ROOM.top - ROOM.bottom);
  const x = (at: number) => ROOM.left + at * SLOT;
  const every = Math.ceil(days.length / 6);
  return draw(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    ...[0, most / 2, most].flatMap((level) => [
      draw("line", { class: "level", x1: ROOM.left, x2: width - ROOM.right, y1: y(level), y2: y(level) }),
      draw("text", { class: "end", x: ROOM.left - 8, y: y(level) + 4 }, `${Math.round(level * 1000) / 10} %`),
    ]),
    ...days.flatMap((one, at) => {
      const share = shares[at] ?? 0;
      const fresh = at > 0 && one.model_version !== days[at - 1]?.model_version;
      return [
        draw(
          "rect",
          { class: "bar", x: x(at) + 4, y: y(share), width: SLOT - 8, height: Math.max(1, y(0) - y(share)), rx: 2 },
          draw("title", {}, `${dayText(one.day)}: ${one.unknown} of ${one.classified}`),
        ),
        fresh ? draw("line", { class: "fresh", x1: x(at), x2: x(at), y1: ROOM.top, y2: y(0) }) : null,
        at % every === 0
          ? draw("text", { x: x(at) + 4, y: HEIGHT - 8 }, one.day.slice(5))
          : null,
      ].filter((node) => node !== null);
    }),
  );
}

function daysTable(days: readonly Day[]): HTMLElement {
  const rows = days.map((one) =>
    make(
      "tr",
      {},
      make("th", { text: dayText(one.day), attributes: { scope: "row" } }),
      ...[one.classified, one.unknown].map((count) => make("td", { class: "number", text: String(count) })),
      make("td", { class: "number", text: unsureText(one.unknown, one.classified) }),
      make("td", { class: "number", text: String(one.unreadable) }),
      make("td", { text: one.model_version }),
    ),
  );
  return make(
    "details",
    { class: "more" },
    make("summary", { text: "As a table" }),
    scroll("Photos by day", table(["Day", "Photos", "Not sure", "Share", "Unreadable", "Model"], rows)),
  );
}
