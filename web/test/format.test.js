// Runs on what `npm run test:web` compiles, so that any Node from 20 on can do it.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cheapest,
  percentText,
  priceText,
  sentenceOf,
  spread,
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
