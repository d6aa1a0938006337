import { bars } from "./cards.js";
import { make } from "./dom.js";
import { countText, shareText } from "./format.js";
import type { MappedCategories, MappedCategory } from "./review-types.js";
import { button, empty } from "./states.js";

const MOST_EVIDENCE = 3;
const NAMES = "names"; // id of the list of categories that there are

/** What can be done with a category; `then` is called when it is, what goes wrong told in its row. */
export interface CategoryWays {
  pin: (one: MappedCategory, said: string, row: HTMLElement, then: () => void) => void;
  unpin: (one: MappedCategory, row: HTMLElement, then: () => void) => void;
}

/** Each shop's category with what it is and why, the least sure first, to be pinned and unpinned. */
export function categoriesShown({ categories, names }: MappedCategories, ways: CategoryWays): HTMLElement {
  if (!categories.length) {
    return empty("No categories yet", "They come with the list of products, after the first crawl.");
  }
  const undoable: HTMLElement[] = []; // rows pinned in this sitting, the latest last
  const row = (one: MappedCategory): HTMLElement => {
    const made = mapping(one, (said) => {
      const now = { ...one, unified: said ?? ownOf(one), pinned: said !== null };
      const then = () => {
        const next = row(now);
        made.replaceWith(next);
        if (undoable.includes(made)) undoable.splice(undoable.indexOf(made), 1);
        if (said !== null) undoable.push(next);
        markUndo(undoable);
        next.querySelector<HTMLElement>("button, input")?.focus();
      };
      if (said === null) ways.unpin(one, made, then);
      else ways.pin(one, said, made, then);
    });
    return made;
  };
  return make(
    "div",
    {},
    make("h2", { text: "What is each shop’s category?" }),
    make("p", { class: "note", text: "By what its photos show, the least sure first. What you pin is kept until it is unpinned." }),
    make("datalist", { attributes: { id: NAMES } }, ...names.map((value) => make("option", { attributes: { value } }))),
    make("ul", { class: "list mappings" }, ...categories.map(row)),
  );
}

/** The key that takes back is for the latest. */
function markUndo(rows: readonly HTMLElement[]): void {
  for (const row of rows) {
    const unpin = row.querySelector("button");
    if (row === rows.at(-1)) unpin?.setAttribute("data-key", "u");
    else unpin?.removeAttribute("data-key");
  }
}

/** What a category is without a person's word. */
function ownOf(one: MappedCategory): string {
  return one.evidence[0]?.label ?? one.category;
}

/** One category. say: its name as a person says; null: no longer. */
function mapping(one: MappedCategory, say: (said: string | null) => void): HTMLElement {
  const weight = one.evidence.reduce((sum, { weight }) => sum + weight, 0);
  const told = one.evidence.slice(0, MOST_EVIDENCE).map((evidence) => ({
    label: evidence.label,
    share: evidence.weight / weight,
    text: `${shareText(evidence.weight / weight)} · ${countText(evidence.products, "product", "products")}`,
  }));
  return make(
    "li",
    { class: "mapping" },
    make(
      "div",
      {},
      make("h3", { class: "label", theirs: one.category }),
      make("p", { class: "over", theirs: one.shop }),
    ),
    make(
      "div",
      {},
      make(
        "p",
        {},
        "is ",
        make("strong", { class: "label", theirs: one.unified }),
        one.pinned ? make("span", { class: "tag", text: "Pinned" }) : null,
      ),
      one.listed === one.unified
        ? null
        : make("p", { class: "note", text: `Listed as “${one.listed}” until the list is made anew, within the hour.` }),
      bars(told) ?? make("p", { class: "note", text: "No photo tells: it keeps its own name." }),
    ),
    one.pinned ? unpinWay(one, say) : pinWay(one, say),
  );
}

function pinWay(one: MappedCategory, say: (said: string) => void): HTMLElement {
  const name = `What ${one.category} of ${one.shop} is`;
  const input = make("input", {
    class: "field",
    attributes: { list: NAMES, maxlength: "200", autocomplete: "off", "aria-label": name },
  });
  input.value = one.unified;
  const send = button("Pin", () => undefined, "quiet");
  send.type = "submit";
  const form = make("form", { class: "ask" }, input, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const said = input.value.trim().replace(/\s+/g, " ");
    if (said) say(said);
    else input.focus();
  });
  return form;
}

function unpinWay(one: MappedCategory, say: (said: null) => void): HTMLElement {
  const made = button("Unpin", () => say(null), "quiet");
  made.setAttribute("aria-label", `Unpin ${one.category} of ${one.shop}`);
  return make("div", { class: "actions" }, made);
}
