import { draw, make, scroll, table } from "./dom.js";
import { countText, dayText, shareText, shortDayText } from "./format.js";
import type { Day } from "./operations-types.js";

const HEIGHT = 180;
const ROOM = { top: 12, right: 10, bottom: 26, left: 48 };
const SLOT = 28; // of one day
const LEAST_SLOTS = 14;
const DATED = 7; // days from one date below the bars to the next
const COUNTED = ["Photos", "Not sure", "Share", "Unreadable"];
const DAY_MS = 86_400_000;

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
    scroll(
      "Chart",
      make(
        "div",
        { class: "chart", attributes: { role: "img", "aria-label": `Share of unsure photos by day: ${unsureText(unknown, all)}${told}.` } },
        drawn(days),
      ),
    ),
    daysTable(days),
  );
}

function unsureText(part: number, all: number): string {
  return part ? shareText(part / all) : "None";
}

/** A bar a day, all models together; where a model is new, a line. Days without photos stay empty. */
function drawn(days: readonly Day[]): SVGSVGElement {
  const one = [...new Set(days.map(({ day }) => day))].map((day) => {
    const rows = days.filter((row) => row.day === day);
    const sum = (of: "classified" | "unknown") => rows.reduce((all, row) => all + row[of], 0);
    return { day, classified: sum("classified"), unknown: sum("unknown"), model: rows.at(-1)?.model_version };
  });
  const share = ({ classified, unknown }: (typeof one)[number]) => (classified ? unknown / classified : 0);
  const most = [0.02, 0.04, 0.1, 0.2, 0.5, 1].find((level) => level >= Math.max(...one.map(share))) ?? 1;
  const last = Date.parse(one.at(-1)?.day ?? "");
  const slots = Math.max(LEAST_SLOTS, (last - Date.parse(one[0]?.day ?? "")) / DAY_MS + 1);
  const width = ROOM.left + ROOM.right + SLOT * slots;
  const y = (value: number) => HEIGHT - ROOM.bottom - (value / most) * (HEIGHT - ROOM.top - ROOM.bottom);
  const x = (slot: number) => ROOM.left + slot * SLOT;
  const slotOf = (day: string) => slots - 1 - (last - Date.parse(day)) / DAY_MS;
  const dated = Array.from({ length: Math.ceil(slots / DATED) }, (_, at) => slots - 1 - at * DATED);
  return draw(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    ...[0, most / 2, most].flatMap((level) => [
      draw("line", { class: "level", x1: ROOM.left, x2: width - ROOM.right, y1: y(level), y2: y(level) }),
      draw("text", { class: "end", x: ROOM.left - 8, y: y(level) + 4 }, shareText(level)),
    ]),
    ...dated.map((slot) =>
      draw("text", { class: "end", x: x(slot) + SLOT - 4, y: HEIGHT - 8 }, shortDayText(new Date(last - (slots - 1 - slot) * DAY_MS).toISOString().slice(0, 10))),
    ),
    ...one.flatMap((day, at) => {
      const left = x(slotOf(day.day));
      const fresh = at > 0 && day.model !== one[at - 1]?.model;
      return [
        draw(
          "rect",
          { class: "bar", x: left + 4, y: y(share(day)), width: SLOT - 8, height: Math.max(1, y(0) - y(share(day))), rx: 2 },
          draw("title", {}, `${dayText(day.day)}: ${day.unknown} of ${day.classified}`),
        ),
        fresh ? draw("line", { class: "fresh", x1: left, x2: left, y1: ROOM.top, y2: y(0) }) : null,
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
    scroll("Photos by day", table(["Day", ...COUNTED.map((text) => make("span", { class: "number", text })), "Model"], rows)),
  );
}
