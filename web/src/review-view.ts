import { make } from "./dom.js";
import { percentText, priceText, webAddress } from "./format.js";
import type { DoubtfulMatch, DoubtfulOffer, DoubtfulPhoto } from "./review-types.js";
import { button } from "./states.js";

/** What can be done with a task. */
export interface Ways {
  decide: (said: string) => void;
  skip: () => void;
  undo: (() => void) | null;
}

const MOST_GUESSES = 5;

/** A photo, and the categories that it may be of; the model's first guess is one key away. */
export function photoTask(photo: DoubtfulPhoto, labels: readonly string[], ways: Ways): HTMLElement {
  const guesses = photo.labels.slice(0, MOST_GUESSES);
  const choices = guesses.map(({ label, probability }, at) =>
    choice(
      label,
      at === 0 ? "Enter" : label === photo.shop_label ? "S" : String(at + 1),
      () => ways.decide(label),
      `${percentText(probability)}${label === photo.shop_label ? ", as the shop says" : ""}`,
    ),
  );
  if (photo.shop_label && !guesses.some(({ label }) => label === photo.shop_label)) {
    choices.push(choice(photo.shop_label, "S", () => ways.decide(photo.shop_label), "as the shop says"));
  }
  const why =
    photo.why === "unsure"
      ? "The model is not sure."
      : `The shop has it under “${photo.shop_label}”; the photo looks like “${guesses[0]?.label ?? ""}”.`;
  return make(
    "article",
    { class: "task" },
    make("div", { class: "thumb" }, picture(photo.photo_url, `Photo of ${photo.title || "a product"}`)),
    make(
      "div",
      {},
      make("h2", { text: "What does this photo show?" }),
      make("p", { class: "about" }, named(photo.title, photo.url, photo.shop)),
      make("p", { class: "note", text: why }),
      make("div", { class: "choices" }, ...choices),
      other(labels, ways.decide),
      ways_(ways),
    ),
  );
}

/** Two offers side by side; the same or not is one key each. */
export function matchTask(match: DoubtfulMatch, ways: Ways): HTMLElement {
  const reason = { gtin: "The same barcode number", mpn: "The same part number", name: "Nearly the same name" };
  const why = `${reason[match.reason]}${match.why ? `, but ${match.why}` : ""}.`;
  return make(
    "article",
    { class: "task pair" },
    make("h2", { text: "Are these the same product?" }),
    make("p", { class: "note", text: why }),
    make("div", { class: "sides" }, side(match.one), side(match.other)),
    make(
      "div",
      { class: "choices" },
      choice("The same", "Y", () => ways.decide("same")),
      choice("Not the same", "N", () => ways.decide("different")),
    ),
    ways_(ways),
  );
}

function side(offer: DoubtfulOffer): HTMLElement {
  const facts: [string, string][] = [
    ["Price", offer.price_minor === null ? "" : priceText(offer.price_minor, offer.currency)],
    ["Brand", offer.brand],
    ["Barcode", offer.gtin],
    ["Part number", offer.mpn],
  ];
  return make(
    "div",
    { class: "side" },
    make("div", { class: "thumb" }, picture(offer.photo_url, `Photo of ${offer.title}`)),
    make("h3", {}, named(offer.title, offer.url, offer.shop)),
    make(
      "dl",
      {},
      ...facts
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]),
    ),
  );
}

/** The photo, or that there is none. */
function picture(url: string | null, alt: string): HTMLElement {
  const address = webAddress(url);
  if (!address) return make("span", { class: "note", text: "No photo" });
  const image = make("img", { attributes: { alt, src: address } });
  image.addEventListener("error", () => {
    image.replaceWith(make("span", { class: "note", text: "The photo cannot be shown" }));
  });
  return image;
}

function named(title: string, url: string, shop: string): HTMLElement {
  const name = title || "A product that is gone";
  const address = webAddress(url);
  const shown = address
    ? make("a", { theirs: name, attributes: { href: address, rel: "noreferrer", target: "_blank" } })
    : make("span", { theirs: name });
  return make("span", {}, shown, shop ? make("span", { class: "over of", theirs: shop }) : null);
}

function choice(text: string, key: string, press: () => void, more = ""): HTMLElement {
  const made = button("", press, "choice");
  made.dataset["key"] = key.toLowerCase();
  made.setAttribute("aria-keyshortcuts", key);
  made.append(
    make("kbd", { text: key, attributes: { "aria-hidden": "true" } }),
    make("span", { class: "label", theirs: text }),
    more ? make("span", { class: "note", text: more }) : "",
  );
  return made;
}

/** Any other category that the model knows. */
function other(labels: readonly string[], decide: (said: string) => void): HTMLElement {
  const input = make("select", { class: "field", attributes: { id: "other", "data-key": "c" } });
  input.append(
    make("option", { text: "Choose a category", attributes: { value: "" } }),
    ...[...labels].sort().map((label) => make("option", { text: label, attributes: { value: label } })),
  );
  const keep = button("Keep", () => input.value && decide(input.value), "quiet");
  return make(
    "div",
    { class: "other" },
    make("label", { class: "over", attributes: { for: "other" } }, "Something else ", make("kbd", { text: "C" })),
    make("div", { class: "ask" }, input, keep),
  );
}

function ways_(ways: Ways): HTMLElement {
  const skip = button("", ways.skip, "quiet");
  skip.dataset["key"] = "k";
  skip.setAttribute("aria-keyshortcuts", "K");
  skip.append(make("kbd", { text: "K", attributes: { "aria-hidden": "true" } }), "Skip");
  const undo = button("", () => ways.undo?.(), "quiet");
  undo.dataset["key"] = "u";
  undo.setAttribute("aria-keyshortcuts", "U");
  undo.append(make("kbd", { text: "U", attributes: { "aria-hidden": "true" } }), "Undo the last");
  undo.disabled = ways.undo === null;
  return make("div", { class: "actions" }, skip, undo);
}
