/** The element of the page with this id. Throws if the page has no such element. */
export function byId<E extends Element>(id: string, kind: abstract new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

export interface Options {
  class?: string;
  text?: string;
  /** Text of a shop, in place of `text`: its script may run in another direction than the page's. */
  theirs?: string;
  attributes?: Readonly<Record<string, string>>;
}

/** A new element. Text from shops enters the page only through here and `append`: never as HTML. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: Options = {},
  ...children: (Node | string | null)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (options.class) element.className = options.class;
  if (options.text) element.textContent = options.text;
  if (options.theirs) {
    element.textContent = options.theirs;
    element.dir = "auto";
  }
  for (const [name, value] of Object.entries(options.attributes ?? {})) {
    element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * A table. columns: their names; "" where one needs none. rows: each a `tr`.
 */
export function table(
  columns: readonly (Node | string)[],
  rows: readonly HTMLTableRowElement[],
  options: Options = {},
  caption: HTMLTableCaptionElement | null = null,
): HTMLTableElement {
  const name = (column: Node | string) =>
    column === "" ? make("td") : make("th", { attributes: { scope: "col" } }, column);
  return make(
    "table",
    options,
    caption,
    make("thead", {}, make("tr", {}, ...columns.map(name))),
    make("tbody", {}, ...rows),
  );
}

/** What may be wider than the page, in a place that scrolls by itself, by the keyboard too. */
export function scroll(name: string, content: HTMLElement): HTMLElement {
  const attributes = { role: "region", "aria-label": name, tabindex: "0" };
  return make("div", { class: "scroll", attributes }, content);
}

/** A new element of a drawing. */
export function draw<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | number>> = {},
  ...children: (Node | string | null)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.filter((child) => child !== null));
  return element;
}
