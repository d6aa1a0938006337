import { ask } from "./api.js";
import { daysShown } from "./days.js";
import { byId, make, scroll, table } from "./dom.js";
import { countText, timeText, webAddress } from "./format.js";
import { modelShown } from "./model-view.js";
import { type Run, isDays, isEvaluation, isRun, isRuns, isWhy } from "./operations-types.js";
import { askSigned, signIn } from "./signed.js";
import { announce, button, empty, fill, ghostFigure, troubleOf } from "./states.js";

const LOOK_AGAIN_MS = 4_000;
const DAYS = "30";
/** What is counted of a crawl, and its name. */
const FIGURES = [
  ["pages", "Pages"],
  ["items", "Items"],
  ["photos", "Photos"],
  ["errors", "Errors"],
  ["todo", "To do"],
] as const;

const modelPlace = byId("model", HTMLElement);
const crawlsPlace = byId("crawls", HTMLElement);
const crawlsTold = byId("crawls-told", HTMLElement);
const whyPlace = byId("why", HTMLElement);
const whyForm = byId("why-form", HTMLFormElement);
const whyUrl = byId("why-url", HTMLInputElement);
const daysPlace = byId("days", HTMLElement);

let again: ReturnType<typeof setTimeout> | undefined;

function loadModel(): void {
  void fill(modelPlace, (signal) => ask("model/evaluation", isEvaluation, { signal }), modelShown, {
    note: "Looking up the model",
    skeleton: ghostFigure,
    instead: ({ status }) =>
      status === 503
        ? empty("No model is in use yet", "One is as soon as it is trained and published.")
        : null,
  });
}

function loadCrawls(): void {
  clearTimeout(again);
  void fill(crawlsPlace, (signal) => askSigned("crawls", isRuns, { signal }), ({ crawls }) => crawlsShown(crawls), {
    note: "Looking up the crawls",
    keep: true,
  });
}

function crawlsShown(runs: readonly Run[]): Node {
  if (runs.some(({ status }) => status === "running")) {
    again = setTimeout(lookAgain, LOOK_AGAIN_MS);
  }
  if (!runs.length) {
    const command = make("code", { text: "advisor crawl SPIDER --remote start" });
    return empty("No crawls yet", make("span", {}, "A schedule starts them, or ", command, "."));
  }
  const names = ["Shop", "State", ...FIGURES.map(([, name]) => make("span", { class: "number", text: name })), ""];
  return scroll("Crawls", table(names, runs.map(runShown), { class: "runs" }));
}

/** Again when the reader looks, and is not about to press something. */
function lookAgain(): void {
  const busy = document.hidden || crawlsPlace.contains(document.activeElement);
  if (busy) again = setTimeout(lookAgain, LOOK_AGAIN_MS);
  else loadCrawls();
}

function runShown(run: Run): HTMLTableRowElement {
  const figure = ([key, name]: (typeof FIGURES)[number]) =>
    make(
      "td",
      // The name stands beside the number where the table is too narrow for columns.
      { class: "number", attributes: { "data-name": name.toLowerCase() } },
      key === "errors" ? reasons(run) : new Intl.NumberFormat().format(run[key]),
    );
  const why = run.finish_reason === run.status ? "" : run.finish_reason;
  const state = why ? `${run.status}: ${why}` : run.status;
  return make(
    "tr",
    {},
    make(
      "th",
      { attributes: { scope: "row" } },
      make("span", { theirs: run.shop }),
      make("span", { class: "over", text: timeText(run.started_at) }),
    ),
    make("td", {}, make("span", { class: `state ${run.status}`, text: state })),
    ...FIGURES.map(figure),
    make("td", {}, ways(run)),
  );
}

/** How many errors, and of what kind; dropped items are told with them. */
function reasons(run: Run): Node {
  const told = [
    ...Object.entries(run.errors_by_reason).map(([reason, count]) => `${reason}: ${count}`),
    ...Object.entries(run.dropped_by_reason).map(([reason, count]) => `dropped, ${reason}: ${count}`),
  ];
  if (!told.length) return document.createTextNode("0");
  return make(
    "details",
    {},
    make("summary", {}, new Intl.NumberFormat().format(run.errors), make("span", { class: "heard", text: ` errors of ${run.shop}, by reason` })),
    make("ul", { class: "reasons" }, ...told.map((text) => make("li", { text }))),
  );
}

function ways(run: Run): HTMLElement {
  const change = (what: string, text: string) => {
    const made = button(text, () => void changeRun(run, what), "link");
    made.setAttribute("aria-label", `${text} the crawl of ${run.shop}`);
    return made;
  };
  const possible = {
    running: [change("pause", "Pause"), change("stop", "Stop")],
    paused: [change("resume", "Resume"), change("stop", "Stop")],
    finished: [],
    failed: [],
  }[run.status];
  return make("div", { class: "ways" }, ...possible);
}

async function changeRun(run: Run, what: string): Promise<void> {
  crawlsTold.textContent = "";
  try {
    const { status } = await askSigned(`crawls/${run.run_id}/${what}`, isRun, { method: "POST", body: "{}" });
    announce(`The crawl of ${run.shop} is ${status}.`);
  } catch (error) {
    crawlsTold.textContent = troubleOf(error).text;
  }
  (document.activeElement as HTMLElement | null)?.blur();
  loadCrawls();
}

whyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const url = whyUrl.value.trim();
  if (!webAddress(url)) {
    whyPlace.replaceChildren(
      make("p", { class: "wrong", text: "Give a whole address, beginning with https:// or http://." }),
    );
    whyUrl.focus();
    return;
  }
  void fill(
    whyPlace,
    (signal) => askSigned("why", isWhy, { query: { url }, signal }),
    ({ why }) => make("ul", { class: "list" }, ...why.map((text) => make("li", { text }))),
    {
      note: "Reading what the crawls left",
      instead: ({ status, detail }) => (status === 404 ? make("p", { text: detail }) : null),
    },
  );
});

function loadDays(): void {
  void fill(
    daysPlace,
    (signal) => askSigned("days", isDays, { query: { days: DAYS }, signal }),
    ({ days }) =>
      days.length
        ? daysShown(days)
        : empty("No photos yet", `None was classified in the last ${countText(Number(DAYS), "day", "days")}.`),
    { note: "Looking up the days", skeleton: ghostFigure },
  );
}

loadModel();
signIn(
  () => askSigned("crawls", isRuns, { query: { limit: "1" } }),
  () => {
    loadCrawls();
    loadDays();
  },
);
