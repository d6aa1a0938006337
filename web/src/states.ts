import { Trouble } from "./api.js";
import { byId, make } from "./dom.js";

const SLOW_MS = 5_000;
const SLOW = "Still loading. The first request after a quiet while takes longer.";
const SKELETON_ROWS = 3;

/**
 * What stands in a place while its content is on its way: shapes of what will come, and a word,
 * which is read aloud; kind: "said", it is seen too; "slow", it is seen above the shapes, which
 * it does not move.
 */
export function waiting(note: string, skeleton: HTMLElement, kind: "" | "said" | "slow" = ""): HTMLElement {
  skeleton.setAttribute("aria-hidden", "true");
  const word = make("p", { class: kind ? "note" : "heard", text: note });
  return make("div", { class: `waiting ${kind}`.trim() }, word, skeleton);
}

/** The shapes of lines of text that are on their way. */
export function ghostLines(count = SKELETON_ROWS): HTMLElement {
  return make("div", { class: "ghost-lines" }, ...Array.from({ length: count }, () => make("i")));
}

/** The shapes of a few words and the picture below them. */
export function ghostFigure(): HTMLElement {
  return make("div", {}, ghostLines(2), make("div", { class: "ghost-photo wide" }));
}

/** The shapes of photos with what is said of them beside. */
export function ghostRows(): HTMLElement {
  const row = () =>
    make(
      "div",
      { class: "ghost" },
      make("div", { class: "ghost-photo" }),
      ghostLines(),
    );
  return make("div", {}, ...Array.from({ length: SKELETON_ROWS }, row));
}

/** Nothing to show, and what the reader can do about it. */
export function empty(title: string, detail: string | Node, ...ways: Node[]): HTMLElement {
  return make(
    "div",
    { class: "told" },
    make("h2", { text: title }),
    make("p", { class: "lead" }, detail),
    ways.length ? make("div", { class: "actions" }, ...ways) : null,
  );
}

/** What went wrong, with a button that tries again where that may help. */
export function trouble(error: unknown, retry: (() => void) | null): HTMLElement {
  const { title, detail, lasting } = troubleOf(error);
  return empty(title, detail, ...(retry && !lasting ? [button("Try again", retry, "quiet")] : []));
}

/** The error as one for the reader; an unexpected one is logged too. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  console.error(error);
  return new Trouble("Something went wrong", "The page met an error of its own.");
}

export function button(text: string, press: () => void, kind = "primary"): HTMLButtonElement {
  const made = make("button", { class: kind, text });
  made.type = "button";
  made.addEventListener("click", press);
  return made;
}

/** Do it again once the reader is back online, if they are not, unless `signal` says stop. */
export function onceOnline(again: () => void, signal: AbortSignal): void {
  if (!navigator.onLine) addEventListener("online", again, { once: true, signal });
}

/** Put content in place of what stands there; where the focus was in that, it stays in the place. */
function put(place: HTMLElement, content: Node): void {
  const focused = place.contains(document.activeElement) && document.activeElement !== place;
  place.replaceChildren(content);
  if (!focused || place.contains(document.activeElement)) return;
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
}

/** Tell a screen reader, politely. */
export function announce(text: string): void {
  byId("announcer", HTMLElement).textContent = text;
}

const running = new WeakMap<HTMLElement, AbortController>();
const filled = new WeakSet<HTMLElement>();

interface Filling {
  /** What is said while it loads. */
  note?: string;
  /** What stands there meanwhile, for the eye. */
  skeleton?: () => HTMLElement;
  /** Leave what stands there, dimmed, until the new comes: for content that changes often. */
  keep?: boolean;
  /** What is shown instead of a trouble of this kind; null: the trouble itself. */
  instead?: (error: Trouble) => Node | null;
}

/**
 * Fill a place with what `work` gets: a skeleton first, a word when it takes long, the trouble
 * with a way to try again when it fails (by itself once the reader is back online).
 * Filling a place anew stops what was on its way to it.
 */
export async function fill<T>(
  place: HTMLElement,
  work: (signal: AbortSignal) => Promise<T>,
  show: (found: T) => Node,
  filling: Filling = {},
): Promise<void> {
  const { note = "Loading", skeleton = ghostLines, keep = false, instead } = filling;
  running.get(place)?.abort();
  const mine = new AbortController();
  running.set(place, mine);
  const again = () => void fill(place, work, show, filling);
  place.setAttribute("aria-busy", "true");
  if (!keep || !filled.has(place)) put(place, waiting(note, skeleton()));
  const slow = setTimeout(() => {
    put(place, waiting(SLOW, skeleton(), "slow"));
    announce(SLOW);
  }, SLOW_MS);
  try {
    const content = show(await work(mine.signal));
    if (mine.signal.aborted) return;
    put(place, content);
    filled.add(place);
  } catch (error) {
    if (mine.signal.aborted) return;
    const told = troubleOf(error);
    put(place, instead?.(told) ?? trouble(told, again));
    filled.delete(place);
    announce(told.text);
    onceOnline(again, mine.signal);
  } finally {
    clearTimeout(slow);
    if (!mine.signal.aborted) place.removeAttribute("aria-busy");
  }
}
