import { Trouble } from "./api.js";
import { byId, make } from "./dom.js";

const SLOW_MS = 5_000;
const SKELETON_ROWS = 3;

/** What stands in a place while its content is on its way. */
export function waiting(note: string, rows = SKELETON_ROWS): HTMLElement {
  const row = () =>
    make(
      "div",
      { class: "ghost" },
      make("div", { class: "ghost-photo" }),
      make("div", { class: "ghost-lines" }, make("i"), make("i"), make("i")),
    );
  const ghosts = make("div", {}, ...Array.from({ length: rows }, row));
  ghosts.setAttribute("aria-hidden", "true");
  return make("div", { class: "waiting" }, make("p", { class: "note", text: note }), ghosts);
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

/**
 * Fill a place with what `work` gets: a skeleton first, a word when it takes long, the trouble
 * with a way to try again when it fails (by itself once the reader is back online).
 * Filling a place anew stops what was on its way to it.
 */
export async function fill<T>(
  place: HTMLElement,
  work: (signal: AbortSignal) => Promise<T>,
  show: (found: T) => Node,
  note = "Loading",
): Promise<void> {
  running.get(place)?.abort();
  const mine = new AbortController();
  running.set(place, mine);
  const again = () => void fill(place, work, show, note);
  place.setAttribute("aria-busy", "true");
  place.replaceChildren(waiting(note));
  const slow = setTimeout(() => {
    const told = place.querySelector(".waiting .note");
    if (told) told.textContent = "Still loading. The first request after a quiet while takes longer.";
    announce("Still loading");
  }, SLOW_MS);
  try {
    const content = show(await work(mine.signal));
    if (!mine.signal.aborted) place.replaceChildren(content);
  } catch (error) {
    if (mine.signal.aborted) return;
    place.replaceChildren(trouble(error, again));
    announce(`${troubleOf(error).title}. ${troubleOf(error).detail}`);
    if (!navigator.onLine) addEventListener("online", again, { once: true, signal: mine.signal });
  } finally {
    clearTimeout(slow);
    if (!mine.signal.aborted) place.removeAttribute("aria-busy");
  }
}
