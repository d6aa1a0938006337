import { Trouble } from "./api.js";
import { byId, make } from "./dom.js";

const SLOW_MS = 5_000;
const SLOW = "Still loading. The first request after a quiet while takes longer.";
const SKELETON_ROWS = 3;

/** What stands in a place while its content is on its way: a word, and shapes of what will come. */
export function waiting(note: string, skeleton: HTMLElement = ghostRows()): HTMLElement {
  skeleton.setAttribute("aria-hidden", "true");
  return make("div", { class: "waiting" }, make("p", { class: "note", text: note }), skeleton);
}

function ghostRows(): HTMLElement {
  const row = () =>
    make(
      "div",
      { class: "ghost" },
      make("div", { class: "ghost-photo" }),
      make("div", { class: "ghost-lines" }, make("i"), make("i"), make("i")),
    );
  return make("div", {}, ...Array.from({ length: SKELETON_ROWS }, row));
}

/** Nothing to show, and what the reader can do about it. */
export function empty(title: string, detail: string, ...ways: Node[]): HTMLElement {
  return make(
    "div",
    { class: "told" },
    make("h2", { text: title }),
    make("p", { class: "lead", text: detail }),
    ways.length ? make("div", { class: "actions" }, ...ways) : null,
  );
}

/** What went wrong, with a button that tries again where that may help. */
export function trouble(error: unknown, retry: (() => void) | null): HTMLElement {
  const { title, detail, lasting } = troubleOf(error);
  return empty(title, detail, ...(retry && !lasting ? [button("Try again", retry)] : []));
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
  const { note = "Loading", skeleton, keep = false, instead } = filling;
  running.get(place)?.abort();
  const mine = new AbortController();
  running.set(place, mine);
  const again = () => void fill(place, work, show, filling);
  place.setAttribute("aria-busy", "true");
  if (!keep || !filled.has(place)) place.replaceChildren(waiting(note, skeleton?.()));
  const slow = setTimeout(() => {
    place.replaceChildren(waiting(SLOW, skeleton?.()));
    announce(SLOW);
  }, SLOW_MS);
  try {
    const content = show(await work(mine.signal));
    if (mine.signal.aborted) return;
    place.replaceChildren(content);
    filled.add(place);
  } catch (error) {
    if (mine.signal.aborted) return;
    const told = troubleOf(error);
    place.replaceChildren(instead?.(told) ?? trouble(told, again));
    filled.delete(place);
    announce(told.text);
    if (!navigator.onLine) addEventListener("online", again, { once: true, signal: mine.signal });
  } finally {
    clearTimeout(slow);
    if (!mine.signal.aborted) place.removeAttribute("aria-busy");
  }
}
