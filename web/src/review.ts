import { byId, make } from "./dom.js";
import { countText, dayText } from "./format.js";
import { categoriesShown } from "./review-categories.js";
import { matchTask, photoTask } from "./review-view.js";
import {
  type Decision,
  type DoubtfulMatch,
  type DoubtfulPhoto,
  type Kind,
  type MappedCategory,
  isDecision,
  isDecisions,
  isDoubtfulMatches,
  isDoubtfulPhotos,
  isMappedCategories,
  isUndone,
} from "./review-types.js";
import { askSigned, signIn } from "./signed.js";
import { announce, button, empty, fill, ghostLines, troubleOf } from "./states.js";

const PAGE = "50";
const LISTED = "8";
const CATEGORIES = "1000";
const PATHS: Record<Kind, string> = {
  photo: "reviews/photos",
  match: "reviews/matches",
  category: "reviews/categories",
};
const HASHES: Record<string, Kind> = { "#matches": "match", "#categories": "category" };

/** One thing to be decided, the name it has in a list, and how it is decided. */
type Task = { kind: "photo"; about: DoubtfulPhoto } | { kind: "match"; about: DoubtfulMatch };

const place = byId("task", HTMLElement);
const progress = byId("progress", HTMLElement);
const decidedPlace = byId("decided", HTMLElement);
const links: Record<Kind, HTMLElement> = {
  photo: byId("to-photos", HTMLElement),
  match: byId("to-matches", HTMLElement),
  category: byId("to-categories", HTMLElement),
};

let tasks: Task[] = [];
let labels: string[] = [];
let waiting = 0;
let done = 0;
let sending = false;
let undoable: Task[] = []; // decided since the page or the kind was opened, the latest last

const kind = (): Kind => HASHES[location.hash] ?? "photo";

/** Load what waits, and show the first of it. */
function load(): void {
  for (const [name, link] of Object.entries(links)) {
    if (name === kind()) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  progress.textContent = "";
  undoable = [];
  tasks = [];
  done = 0;
  loadDecided();
  if (kind() === "category") {
    void fill(
      place,
      (signal) => askSigned(PATHS.category, isMappedCategories, { query: { limit: CATEGORIES }, signal }),
      (found) => {
        const [all, shown] = [found.count, found.categories.length];
        progress.textContent =
          countText(all, "category", "categories") + (shown < all ? `; the ${shown} least sure` : "");
        return categoriesShown(found, { pin, unpin });
      },
      { note: "Looking up the categories" },
    );
    return;
  }
  void fill(
    place,
    (signal) => (kind() === "photo" ? loadPhotos(signal) : loadMatches(signal)),
    current,
    { note: "Looking up what waits", skeleton: ghostTask },
  );
}

/** Keep what the reader says that a shop's category is. */
function pin({ shop, category }: MappedCategory, unified: string, row: HTMLElement, then: () => void): void {
  if (sending) return;
  const body = JSON.stringify({ shop, category, unified });
  const keep = () => askSigned(PATHS.category, isDecision, { method: "POST", body });
  void send(keep, () => {
    announce(`Pinned: ${category} is ${unified}.`);
    loadDecided();
    then();
  }, row);
}

function unpin({ category, category_id }: MappedCategory, row: HTMLElement, then: () => void): void {
  if (sending) return;
  void send(() => takeBack("category", category_id), () => {
    announce(`Unpinned: ${category}.`);
    loadDecided();
    then();
  }, row);
}

async function loadPhotos(signal: AbortSignal): Promise<void> {
  const found = await askSigned(PATHS.photo, isDoubtfulPhotos, { query: { limit: PAGE }, signal });
  tasks = found.photos.map((about) => ({ kind: "photo", about }));
  ({ labels, waiting } = found);
}

async function loadMatches(signal: AbortSignal): Promise<void> {
  const found = await askSigned(PATHS.match, isDoubtfulMatches, { query: { limit: PAGE }, signal });
  tasks = found.matches.map((about) => ({ kind: "match", about }));
  ({ waiting } = found);
}

function ghostTask(): HTMLElement {
  return make("div", { class: "ghost-task" }, make("div", { class: "ghost-photo" }), ghostLines(6));
}

/** The first of what waits, or that nothing does. */
function current(): Node {
  const left = Math.max(waiting - done, tasks.length);
  progress.textContent = [
    done ? `${countText(done, "decision", "decisions")} now` : "",
    left ? `${new Intl.NumberFormat().format(left)} to go` : "",
  ]
    .filter(Boolean)
    .join(", ");
  const [task] = tasks;
  if (!task) return nothing();
  return task.kind === "photo"
    ? photoTask(task.about, labels, { decide, skip, undo: undoWay() })
    : matchTask(task.about, { decide, skip, undo: undoWay() });
}

function nothing(): HTMLElement {
  const what = kind() === "photo" ? "photos" : "matches";
  const ways = undoable.length ? [button("Undo the last", undo, "quiet")] : [];
  return empty(
    "Nothing to review",
    done
      ? `Those were all the ${what}. New ones come with the next crawl, or the next model.`
      : `No ${what} wait for a person. New ones come with the next crawl, or the next model.`,
    ...ways,
  );
}

function undoWay(): (() => void) | null {
  return undoable.length ? undo : null;
}

function show(): void {
  if (!tasks.length && waiting > done) {
    void fill(
      place,
      async (signal) => {
        done = 0;
        await (kind() === "photo" ? loadPhotos(signal) : loadMatches(signal));
      },
      current,
    );
    return;
  }
  place.replaceChildren(current());
  const title = place.querySelector("h2");
  title?.setAttribute("tabindex", "-1");
  title?.focus({ preventScroll: true });
}

/** Keep what the reader says of the first task, and go on to the next. */
function decide(said: string): void {
  const [task] = tasks;
  if (!task || sending) return;
  const sitting = undoable;
  const keep = () =>
    task.kind === "photo"
      ? askSigned(`${PATHS.photo}/${task.about.image_id}`, isDecision, {
          method: "POST",
          body: JSON.stringify({ label: said }),
        })
      : askSigned(PATHS.match, isDecision, {
          method: "POST",
          body: JSON.stringify({
            one: task.about.one.product_id,
            other: task.about.other.product_id,
            same: said === "same",
          }),
        });
  void send(keep, () => {
    announce(`Kept: ${said}.`);
    loadDecided();
    if (sitting !== undoable) return; // other tasks were opened meanwhile
    tasks = tasks.filter((one) => one !== task);
    undoable.push(task);
    done += 1;
    show();
  });
}

/** Leave the first task for later. */
function skip(): void {
  const [task] = tasks;
  if (!task || sending) return;
  tasks = [...tasks.slice(1), task];
  show();
}

/** Take back what was decided last in this sitting, and show it again. */
function undo(): void {
  const task = undoable[undoable.length - 1];
  if (!task || sending) return;
  const sitting = undoable;
  const about = task.kind === "photo" ? task.about.image_id : task.about.match_id;
  void send(() => takeBack(task.kind, about), () => {
    announce("Undone.");
    loadDecided();
    if (sitting !== undoable) return; // other tasks were opened meanwhile
    undoable.pop();
    tasks = [task, ...tasks];
    if (done) done -= 1;
    else waiting += 1; // it was decided before the list came anew
    show();
  });
}

async function takeBack(of: Kind, about: string): Promise<void> {
  await askSigned(`${PATHS[of]}/${about}`, isUndone, { method: "DELETE" });
}

/** Do one thing at a time, and then what follows; what goes wrong is told, and the task stays. */
async function send(work: () => Promise<unknown>, then: () => void, told = place): Promise<void> {
  sending = true;
  place.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    place.querySelector(".wrong")?.remove();
    told.append(make("p", { class: "wrong", text: troubleOf(error).text, attributes: { role: "alert" } }));
    return;
  } finally {
    sending = false;
    place.removeAttribute("aria-busy");
  }
  then();
}

function loadDecided(): void {
  void fill(
    decidedPlace,
    (signal) =>
      askSigned("reviews/decisions", isDecisions, {
        query: { kind: kind(), limit: LISTED },
        signal,
      }),
    ({ decisions }) =>
      decisions.length
        ? make("ul", { class: "list" }, ...decisions.map(decided))
        : make("p", { class: "note", text: "Nothing yet." }),
    { keep: true },
  );
}

function decided(one: Decision): HTMLElement {
  const take = button("Undo", () => retract(one), "link");
  const what = { photo: photoText, match: matchText, category: categoryText }[one.kind](one);
  take.setAttribute("aria-label", `Undo: ${what}`);
  const when = `${dayText(one.at)}, ${one.by.replace(/^.*[:/]/, "")}`;
  const used = {
    photo: one.used_by ? `Learned by the model in use, ${one.used_by}` : "Waits for the next training",
    match: "Followed by suggestions and product pages within a minute",
    category: "Followed by the list of products within the hour",
  }[one.kind];
  return make(
    "li",
    {},
    make("p", { text: what }),
    make("p", { class: "note" }, `${when}. ${used}. `, take),
  );
}

function photoText({ said, seen }: Decision): string {
  const guessed = seen["label"] ?? "";
  return guessed === said ? `${said}, as the model thought` : `${said}, not ${guessed || "unknown"}`;
}

function matchText({ said, seen }: Decision): string {
  const [one, other] = [seen["one_title"] ?? "", seen["other_title"] ?? ""];
  return said === "same" ? `${one} is ${other}` : `${one} is not ${other}`;
}

function categoryText({ said, seen }: Decision): string {
  return `${seen["category"] ?? ""} of ${seen["shop"] ?? ""} is ${said}`;
}

/** Take back any of those listed: what waits is loaded anew, for it may be no part of this sitting. */
function retract(one: Decision): void {
  if (sending) return;
  void send(() => takeBack(one.kind, one.about), () => {
    announce("Undone.");
    load();
  });
}

addEventListener("hashchange", load);
addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target as HTMLElement;
  if (at.closest("input, textarea, select")) return;
  if (event.key === "Enter" && at.closest("a, button, summary")) return; // it presses that
  const key = event.key === "Enter" ? "enter" : event.key.toLowerCase();
  const pressed = document.querySelector<HTMLElement>(`#desk [data-key="${CSS.escape(key)}"]`);
  if (!pressed || byId("desk", HTMLElement).hidden) return;
  event.preventDefault();
  if (pressed instanceof HTMLSelectElement) pressed.focus();
  else pressed.click();
});

signIn(
  () => askSigned("reviews/decisions", isDecisions, { query: { limit: "1" } }),
  load,
);
