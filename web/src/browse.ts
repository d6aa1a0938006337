import { ask } from "./api.js";
import { type Shown, cards, ghostCards } from "./cards.js";
import { byId, make } from "./dom.js";
import { countText, dayText } from "./format.js";
import { EVERYTHING, type Wanted, priceFault, queryOf, readWanted, searchOf } from "./query.js";
import { announce, button, empty, fill, ghostLines, trouble } from "./states.js";
import { type Categories, type Listed, type ListedPage, isCategories, isListedPage } from "./types.js";

const PAGE = 24;
const MOST_AT_ONCE = 100; // what the service gives in one answer
const TYPING_MS = 200;
const CATEGORIES_SHOWN = 12;

const form = byId("form", HTMLFormElement);
const words = byId("words", HTMLInputElement);
const narrow = byId("narrow", HTMLDetailsElement);
const narrowed = byId("narrowed", HTMLElement);
const categoryPlace = byId("categories", HTMLElement);
const shop = byId("shop", HTMLSelectElement);
const currency = byId("currency", HTMLSelectElement);
const unit = byId("unit", HTMLElement);
const least = byId("min", HTMLInputElement);
const most = byId("max", HTMLInputElement);
const priceNote = byId("price-note", HTMLElement);
const inStock = byId("in-stock", HTMLInputElement);
const results = byId("results", HTMLElement);

let wanted = EVERYTHING;
let known: Categories = { categories: [], currencies: [] };
let allCategories = false; // whether the long list of categories is shown whole
let typing: ReturnType<typeof setTimeout> | undefined;

/**
 * Look for something else: a step of the history to go back from.
 * typedIn: the field in which it is typed; what is typed on there takes the place of the step.
 */
function want(changes: Partial<Wanted>, typedIn = ""): void {
  wanted = { ...wanted, ...changes };
  if ((wanted.min || wanted.max) && !wanted.currency) wanted.currency = known.currencies[0] ?? "";
  const goesOn = typedIn !== "" && (history.state as { typedIn?: string } | null)?.typedIn === typedIn;
  const address = location.pathname + searchOf(wanted);
  if (goesOn) history.replaceState({ typedIn }, "", address);
  else history.pushState({ typedIn }, "", address);
  show();
}

/** Show what is wanted: in the form, and the products. */
function show(): void {
  showForm();
  const count = (history.state as { shown?: number } | null)?.shown ?? PAGE;
  const asked = queryOf(wanted, Math.min(MOST_AT_ONCE, Math.max(PAGE, count)));
  void fill(
    results,
    (signal) => ask("products", isListedPage, { query: asked, signal }),
    showPage,
    { note: "Looking up products", skeleton: ghostCards, keep: true },
  );
}

function showForm(): void {
  if (document.activeElement !== words) words.value = wanted.q;
  for (const [field, value] of [[least, wanted.min], [most, wanted.max]] as const) {
    if (document.activeElement !== field) field.value = value;
  }
  inStock.checked = wanted.in_stock;
  choices(shop, "All shops", shopNames(), wanted.shop);
  choices(currency, "Any currency", known.currencies, wanted.currency);
  const fault = priceFault(wanted);
  priceNote.textContent = fault;
  for (const field of [least, most]) field.setAttribute("aria-invalid", String(fault !== ""));
  const number = chips().length - (wanted.q ? 1 : 0);
  narrowed.textContent = number ? ` (${number})` : "";
  const [only = ""] = known.currencies;
  currency.hidden = known.currencies.length === 1 && (!wanted.currency || wanted.currency === only);
  unit.textContent = currency.hidden ? ` in ${only}` : "";
  showCategories();
}

function choices(select: HTMLSelectElement, all: string, names: readonly string[], chosen: string): void {
  const listed = chosen && !names.includes(chosen) ? [...names, chosen] : names;
  const option = (value: string, text: string) => make("option", { text, attributes: { value } });
  select.replaceChildren(option("", all), ...listed.map((name) => option(name, name)));
  select.value = chosen;
}

function shopNames(): string[] {
  return [...new Set(known.categories.flatMap((one) => Object.keys(one.shops)))].sort();
}

function showCategories(): void {
  const counted = known.categories
    .map((one) => ({
      name: one.category,
      count: wanted.shop ? (one.shops[wanted.shop] ?? 0) : one.products,
    }))
    .filter((one) => one.count > 0 || one.name === wanted.category);
  if (known.categories.length === 0) return;
  const total = counted.reduce((sum, one) => sum + one.count, 0);
  const shown = allCategories
    ? counted
    : counted.filter((one, at) => at < CATEGORIES_SHOWN || one.name === wanted.category);
  const more = button(`All ${counted.length} categories`, () => {
    allCategories = true;
    showCategories();
    categoryPlace.querySelectorAll<HTMLElement>("a")[CATEGORIES_SHOWN + 1]?.focus();
  }, "plain");
  const focused = document.activeElement instanceof HTMLAnchorElement && categoryPlace.contains(document.activeElement);
  categoryPlace.replaceChildren(
    make(
      "ul",
      { class: "categories" },
      categoryLink("", "All", total),
      ...shown.map((one) => categoryLink(one.name, one.name, one.count)),
    ),
    ...(shown.length < counted.length ? [more] : []),
  );
  if (focused) categoryPlace.querySelector<HTMLElement>("[aria-current]")?.focus();
}

function categoryLink(category: string, text: string, count: number): HTMLElement {
  const href = location.pathname + searchOf({ ...wanted, category });
  const link = make(
    "a",
    { attributes: { href } },
    make("span", { class: "label", theirs: text }),
    make("span", { class: "count", text: new Intl.NumberFormat().format(count) }),
  );
  if (category === wanted.category) link.setAttribute("aria-current", "true");
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    want({ category });
  });
  return make("li", {}, link);
}

/** The first products that were found, and the way to more. */
function showPage(page: ListedPage): HTMLElement {
  const ways = chips();
  if (page.products.length === 0) {
    announce("No products");
    if (page.listed_at === null) {
      return empty("No products yet", "They are listed when a first crawl of a shop has ended.");
    }
    if (ways.length === 0) return empty("No products", "The shops we read sell nothing at the moment.");
    return empty("Nothing matches", "Leave out what narrows it down:", ...ways, ...clearAll(ways));
  }
  const count = page.count === null ? "More than 1,000 products" : countText(page.count, "product", "products");
  announce(count);
  const list = cards(page.products.map(shown));
  const content = make(
    "div",
    {},
    make("div", { class: "head" }, make("h2", { class: "count-text", text: count }), ...ways),
    list,
  );
  if (page.cursor) content.append(more(list, page.cursor));
  const day = dayText(page.listed_at ?? "");
  if (day) content.append(make("p", { class: "note listed", text: `As the shops’ pages said when they were last read; listed ${day}.` }));
  return content;
}

function shown(one: Listed): Shown {
  return {
    productId: one.product_id,
    title: one.title,
    note: one.shop,
    photoUrl: one.photo_url,
    priceMinor: one.price_minor,
    currency: one.currency,
    availability: one.availability,
  };
}

/** A button that appends the next page, and then moves on to the one after. */
function more(list: HTMLElement, cursor: string): HTMLElement {
  const of = wanted;
  const place = make("div", { class: "more" });
  const next = button("Show more", () => void load(), "quiet");
  let loading = false; // not `disabled`: the button would lose the focus
  place.append(next);
  async function load(): Promise<void> {
    if (loading) return;
    loading = true;
    next.textContent = "Loading";
    if (!next.isConnected) {
      place.replaceChildren(next);
      next.focus();
    }
    try {
      const page = await ask("products", isListedPage, { query: queryOf(of, PAGE, cursor) });
      if (!place.isConnected) return;
      const added = [...cards(page.products.map(shown)).children];
      list.append(...added);
      added[0]?.querySelector("a")?.focus();
      const number = list.children.length;
      announce(`${countText(added.length, "more product", "more products")}, ${number} shown`);
      history.replaceState({ ...(history.state as object | null), shown: number }, "");
      if (page.cursor) place.replaceWith(more(list, page.cursor));
      else place.remove();
    } catch (error) {
      loading = false;
      place.replaceChildren(trouble(error, () => void load()));
      place.querySelector("button")?.focus();
    }
  }
  return place;
}

/** What narrows the products down, each a button that leaves it out. */
function chips(): HTMLButtonElement[] {
  const { q, category, min, max } = wanted;
  const range = [min && `from ${min}`, max && `to ${max}`].filter(Boolean).join(" ");
  const price = [range, wanted.currency].filter(Boolean).join(" ");
  const parts: [string, Partial<Wanted>][] = [
    [q.trim() && `“${q.trim()}”`, { q: "" }],
    [category, { category: "" }],
    [wanted.shop, { shop: "" }],
    [price, { min: "", max: "", currency: "" }],
    [wanted.in_stock ? "In stock" : "", { in_stock: false }],
  ];
  return parts
    .filter(([text]) => text)
    .map(([text, without]) => {
      const chip = button(text, () => leaveOut(without), "chip");
      chip.setAttribute("aria-label", `Leave out ${text}`);
      return chip;
    });
}

function clearAll(ways: readonly unknown[]): HTMLButtonElement[] {
  return ways.length > 1 ? [button("Clear everything", () => leaveOut(EVERYTHING))] : [];
}

function leaveOut(without: Partial<Wanted>): void {
  if ("q" in without) words.value = "";
  if ("min" in without) least.value = most.value = "";
  want(without);
  words.focus({ preventScroll: true });
}

/** Typing in a field is one step of the history, however many letters it has. */
function typed(field: HTMLInputElement, changes: Partial<Wanted>): void {
  clearTimeout(typing);
  typing = setTimeout(() => want(changes, field.id), TYPING_MS);
}

function listen(): void {
  words.addEventListener("input", () => typed(words, { q: words.value }));
  for (const field of [least, most]) {
    field.addEventListener("input", () => typed(field, { min: least.value, max: most.value }));
  }
  shop.addEventListener("change", () => want({ shop: shop.value }));
  currency.addEventListener("change", () => want({ currency: currency.value }));
  inStock.addEventListener("change", () => want({ in_stock: inStock.checked }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    if (words.value !== wanted.q) want({ q: words.value }, words.id);
    const [min, max] = [least.value, most.value];
    if (min !== wanted.min || max !== wanted.max) want({ min, max }, document.activeElement?.id);
  });
  addEventListener("popstate", () => {
    clearTimeout(typing);
    wanted = readWanted(location.search);
    words.value = wanted.q;
    [least.value, most.value] = [wanted.min, wanted.max];
    show();
  });
  const wide = matchMedia("(min-width: 52.01rem)");
  const unfold = () => (narrow.open = wide.matches);
  wide.addEventListener("change", unfold);
  unfold();
}

listen();
wanted = readWanted(location.search);
show();
void fill(
  categoryPlace,
  (signal) => ask("categories", isCategories, { signal }),
  (found) => {
    known = found;
    showForm();
    return make("div", {}, ...categoryPlace.childNodes);
  },
  { note: "Loading the categories", skeleton: () => ghostLines(7) },
);
