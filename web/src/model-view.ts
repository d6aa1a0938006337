import { make, scroll, table } from "./dom.js";
import { countText, dayText, shareText } from "./format.js";
import type { Evaluation } from "./operations-types.js";

const MOST_CELLS = 24; // categories beyond which a matrix is no picture any more
const MOST_MISTAKES = 8;
const COLUMNS = ["Test photos", "Found", "Right when said"];
const CONFIDENCE = 0.95; // of the interval in a bundle

/** The model in use: how good it is, by category, and what it takes for what. */
export function modelShown(model: Evaluation): HTMLElement {
  const interval = model.accuracy_interval;
  const within = interval
    ? ` (${shareText(interval[0])} to ${shareText(interval[1])} with ${shareText(CONFIDENCE)} confidence)`
    : "";
  return make(
    "div",
    {},
    make(
      "p",
      { class: "figure" },
      make("strong", { text: shareText(model.accuracy) }),
      ` of ${countText(model.photos, "test photo", "test photos")} right${within}`,
    ),
    make("p", {
      class: "note",
      text: [
        `Version ${model.version}, in use since ${dayText(model.published_at)}`,
        model.answered === null
          ? ""
          : `sure of ${shareText(model.answered)} of them` +
            (model.answered_accuracy === null ? "" : `, and right on ${shareText(model.answered_accuracy)} of these`),
      ]
        .filter(Boolean)
        .join("; "),
    }),
    make(
      "div",
      { class: "figures" },
      model.labels.length <= MOST_CELLS ? matrix(model) : null,
      mistakes(model),
    ),
    perClass(model),
  );
}

/** What is most often taken for what. */
function mistakes({ confusion, labels }: Evaluation): HTMLElement | null {
  const found = confusion
    .filter(([is, said]) => is !== said)
    .sort((one, other) => other[2] - one[2])
    .slice(0, MOST_MISTAKES);
  if (!found.length) return null;
  return make(
    "div",
    {},
    make("h3", { text: "Most often mistaken" }),
    make(
      "ul",
      { class: "list" },
      ...found.map(([is, said, count]) =>
        make(
          "li",
          {},
          make("span", { class: "label", theirs: labels[is] ?? "" }),
          " taken for ",
          make("span", { class: "label", theirs: labels[said] ?? "" }),
          make("span", { class: "note", text: ` ${countText(count, "photo", "photos")}` }),
        ),
      ),
    ),
  );
}

/** Rows are what the photos show, columns what the model says. */
function matrix({ confusion, labels }: Evaluation): HTMLElement {
  const counts = new Map(confusion.map(([is, said, count]) => [`${is} ${said}`, count]));
  const totals = labels.map((_, is) => labels.reduce((sum, _label, said) => sum + (counts.get(`${is} ${said}`) ?? 0), 0));
  const cell = (is: number, said: number) => {
    const count = counts.get(`${is} ${said}`) ?? 0;
    const made = make("td", { class: is === said ? "hit" : "miss", text: count ? String(count) : "" });
    // Not an attribute: the content security policy lets no style stand in the page.
    made.style.setProperty("--share", String(count / (totals[is] || 1)));
    return made;
  };
  return make(
    "div",
    {},
    make("h3", { text: "What is taken for what" }),
    scroll(
      "Confusion matrix",
      table(
        ["", ...labels.map((theirs) => make("span", { class: "label", theirs }))],
        labels.map((label, is) =>
          make("tr", {}, rowName(label), ...labels.map((_, said) => cell(is, said))),
        ),
        { class: "matrix" },
        make("caption", { class: "note", text: "Each row is what the photos show, each column what the model says." }),
      ),
    ),
  );
}

function rowName(label: string): HTMLElement {
  return make("th", { attributes: { scope: "row" } }, make("span", { class: "label", theirs: label }));
}

function perClass({ per_class }: Evaluation): HTMLElement {
  const share = (value: number | null) =>
    make("td", { class: "number", text: value === null ? "none" : shareText(value) });
  const rows = Object.entries(per_class).map(([label, one]) =>
    make(
      "tr",
      {},
      rowName(label),
      make("td", { class: "number", text: String(one.count) }),
      share(one.recall),
      share(one.precision),
    ),
  );
  return make(
    "details",
    { class: "more" },
    make("summary", { text: "By category" }),
    scroll("By category", table(["Category", ...COLUMNS.map((text) => make("span", { class: "number", text }))], rows)),
  );
}
