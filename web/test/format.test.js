// Runs on what `npm run test:web` compiles, so that any Node from 20 on can do it.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cheapest,
  cheapestFirst,
  dayText,
  isOld,
  minorOf,
  percentText,
  priceText,
  productPage,
  sentenceOf,
  shortDayText,
  shareText,
  spread,
  timeText,
  webAddress,
} from "../../build/web-test/format.js";

const offer = (price_minor, more = {}) => ({
  product_id: "a:1",
  shop: "a",
  title: "",
  price_minor,
  currency: "EUR",
  availability: "in_stock",
  url: "",
  photo_url: null,
  ...more,
});

test("a price has the decimals of its currency", () => {
  assert.equal(priceText(129900, "EUR", "en"), "€1,299.00");
  assert.equal(priceText(1299, "JPY", "en"), "¥1,299");
  assert.equal(priceText(1299, "KWD", "en").replace(/\s/, " "), "KWD 1.299");
});

test("a price in an unknown currency still shows", () => {
  assert.equal(priceText(129900, "", "en"), "1,299.00");
});

test("the cheapest offer that can be had is marked", () => {
  const gone = offer(100, { availability: "out_of_stock" });
  assert.deepEqual([...cheapest([gone, offer(200), offer(300)])], [1]);
});

test("nothing is marked where prices cannot be compared", () => {
  assert.deepEqual([...cheapest([offer(100), offer(null)])], []);
  assert.deepEqual([...cheapest([offer(100), offer(200, { currency: "SEK" })])], []);
  assert.deepEqual([...cheapest([offer(100), offer(100)])], []);
  assert.deepEqual([...cheapest([])], []);
});

test("the cheapest is marked in each currency apart", () => {
  const francs = (minor) => offer(minor, { currency: "CHF" });
  assert.deepEqual([...cheapest([offer(300), francs(100), offer(200), francs(90)])], [2, 3]);
  assert.deepEqual([...cheapest([offer(300), offer(200), francs(1)])], [1]);
  assert.equal(spread([offer(300), offer(200), francs(1)]), null);
});

test("offers are ordered by price, those without one last, currencies apart", () => {
  const francs = offer(1, { currency: "CHF" });
  const none = offer(null, { currency: "" });
  const sorted = cheapestFirst([none, offer(300), francs, offer(200)]);
  assert.deepEqual(sorted.map((one) => one.price_minor), [200, 300, 1, null]);
});

test("what is typed as a price is read in the units of its currency", () => {
  assert.equal(minorOf("12.50", "EUR"), 1250);
  assert.equal(minorOf(" 12,5 ", "EUR"), 1250);
  assert.equal(minorOf("1299", "JPY"), 1299);
  assert.equal(minorOf("0", "EUR"), 0);
  assert.equal(minorOf("7", "XXQ"), 700);
  for (const none of ["", "-1", "1e9", "1.299,00", "cheap", "9".repeat(13)]) {
    assert.equal(minorOf(none, "EUR"), null, none);
  }
});

test("absurd and unheard-of prices still show as text", () => {
  assert.equal(priceText(99999999999999, "EUR", "en"), "€999,999,999,999.99");
  assert.equal(priceText(1, "ZZZ", "en").replace(/\s/, " "), "ZZZ 0.01");
  assert.equal(priceText(1, "€uro", "en"), "0.01 €uro");
});

test("a product's page is named by its id, whatever is in it", () => {
  assert.equal(productPage("one:AB 1"), "./product.html?id=one:AB%201");
  assert.equal(productPage("one:a&b=\"<c>"), "./product.html?id=one:a%26b%3D%22%3Cc%3E");
});

test("a time is shown as its day, and what is no time as nothing", () => {
  assert.equal(dayText("2026-11-01T10:00:00+00:00", "en"), "Nov 1, 2026");
  assert.equal(dayText("yesterday"), "");
  process.env.TZ = "America/New_York"; // where the day begins later
  assert.equal(dayText("2026-11-01", "en"), "Nov 1, 2026");
  assert.equal(shortDayText("2026-11-01", "en"), "Nov 1");
  delete process.env.TZ;
  assert.equal(timeText("2026-11-01T10:05:00", "en-GB"), "1 Nov 2026, 10:05");
  assert.equal(timeText("yesterday"), "");
  const now = Date.parse("2026-11-22T00:00:00Z");
  assert.equal(isOld("2026-10-01T00:00:00Z", now), true);
  assert.equal(isOld("2026-11-01T00:00:00Z", now), false);
  assert.equal(isOld("", now), false);
});

test("the spread is between the cheapest and the dearest", () => {
  assert.deepEqual(spread([offer(100), offer(250), offer(null)]), { minor: 150, currency: "EUR" });
  assert.equal(spread([offer(100)]), null);
  // The cheapest that can be had is dearer than one that cannot: nothing is saved by it.
  assert.equal(spread([offer(100, { availability: "out_of_stock" }), offer(150)]), null);
});

test("only web addresses are linked", () => {
  assert.equal(webAddress("https://shop.example/a?b=1"), "https://shop.example/a?b=1");
  assert.equal(webAddress("javascript:alert(1)"), null);
  assert.equal(webAddress("data:text/html,x"), null);
  assert.equal(webAddress("/p/1"), null);
  assert.equal(webAddress(null), null);
});

test("a probability is never shown as certain", () => {
  assert.equal(percentText(0.917, "en"), "92%");
  assert.equal(percentText(0.9999, "en"), "> 99%");
  assert.equal(percentText(0.0001, "en"), "< 1%");
});

test("what the service says becomes a sentence", () => {
  assert.equal(sentenceOf("the photo is no image"), "The photo is no image.");
  assert.equal(sentenceOf("Really?"), "Really?");
});

test("a share of what was counted may be all or nothing", () => {
  assert.deepEqual([1, 0.866, 0].map((share) => shareText(share, "en")), ["100%", "87%", "0%"]);
});
