import assert from "node:assert/strict";
import { test } from "node:test";

import { EVERYTHING, priceFault, queryOf, readWanted, searchOf } from "../../build/web-test/query.js";

test("what is wanted stands in the address and is read from it again", () => {
  const wanted = {
    q: "café & <b>chair</b>",
    category: "hi-fi, audio & speakers",
    shop: "one",
    in_stock: true,
    currency: "EUR",
    min: "10",
    max: "99,50",
  };
  assert.deepEqual(readWanted(searchOf(wanted)), wanted);
  assert.equal(searchOf(EVERYTHING), "");
  assert.deepEqual(readWanted(""), EVERYTHING);
});

test("what makes no sense in an address is left out", () => {
  const read = readWanted("?currency=Taler&in_stock=maybe&other=1&q=" + "x".repeat(300));
  assert.equal(read.currency, "");
  assert.equal(read.in_stock, false);
  assert.equal(read.q.length, 200);
});

test("the service is asked in minor units, and only for what is wanted", () => {
  assert.deepEqual(queryOf(EVERYTHING, 24), { limit: "24" });
  const wanted = { ...EVERYTHING, q: " lamp ", currency: "EUR", min: "10", max: "99,50", in_stock: true };
  assert.deepEqual(queryOf(wanted, 24, "abc"), {
    limit: "24",
    q: "lamp",
    currency: "EUR",
    cursor: "abc",
    in_stock: "true",
    min_minor: "1000",
    max_minor: "9950",
  });
});

test("prices that are none, and ones beyond what the service takes, are not asked for", () => {
  const wanted = { ...EVERYTHING, currency: "EUR", min: "cheap", max: "999999999" };
  assert.deepEqual(queryOf(wanted, 24), { limit: "24", currency: "EUR" });
  assert.deepEqual(queryOf({ ...EVERYTHING, min: "5" }, 24), { limit: "24" }); // of which currency?
});

test("a fault of the prices is told in a sentence", () => {
  const euros = { ...EVERYTHING, currency: "EUR" };
  assert.equal(priceFault({ ...euros, min: "5", max: "6" }), "");
  assert.equal(priceFault({ ...euros, min: "cheap" }), "“cheap” is no price.");
  assert.equal(priceFault({ ...euros, min: "-1" }), "“-1” is no price.");
  assert.equal(priceFault({ ...euros, min: "6", max: "5" }), "The lowest price is above the highest.");
});
