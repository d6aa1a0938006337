import assert from "node:assert/strict";
import { test } from "node:test";

import { figuresOf, inOneCurrency, ticks } from "../../build/web-test/history.js";

const at = (day, price_minor, currency = "EUR") => ({
  observed_at: `2026-11-${day}T00:00:00Z`,
  price_minor,
  currency,
  flag: "",
});
const end = Date.parse("2026-11-11T00:00:00Z");

test("the average is over time: a price counts as long as it held", () => {
  const points = [at("01", 1000), at("09", 2000)];
  assert.deepEqual(figuresOf(points, end), { lowest: 1000, average: 1200, highest: 2000 });
});

test("one price is lowest, average and highest, also one seen just now", () => {
  const same = { lowest: 500, average: 500, highest: 500 };
  assert.deepEqual(figuresOf([at("01", 500)], end), same);
  assert.deepEqual(figuresOf([at("11", 500)], end), same);
  assert.equal(figuresOf([], end), null);
});

test("only prices in the currency of the newest have one scale", () => {
  const points = [at("01", 900, "USD"), at("02", 1000), at("03", 1100)];
  assert.deepEqual(inOneCurrency(points), points.slice(1));
  assert.deepEqual(inOneCurrency([]), []);
});

test("ticks are round and cover the range, also a range of nothing", () => {
  assert.deepEqual(ticks(2499, 3199), [2400, 2600, 2800, 3000, 3200]);
  assert.deepEqual(ticks(500, 500), [500, 501]);
  const wide = ticks(1, 99999999999999);
  assert.ok(wide[0] <= 1 && wide[wide.length - 1] >= 99999999999999 && wide.length < 9);
});
