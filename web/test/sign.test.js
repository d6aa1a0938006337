import assert from "node:assert/strict";
import { test } from "node:test";

import { queryText, signatureOf } from "../../build/web-test/sign.js";

// What botocore's SigV4Auth, of AWS itself, makes of the same requests at the same time.
const API = "https://abc123.execute-api.eu-central-1.amazonaws.com/api/";
const KEY = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret/EXAMPLE+KEY" };
const SCOPE = "Credential=AKIDEXAMPLE/20261122/eu-central-1/execute-api/aws4_request";

async function authorization(key, method, path, body = null) {
  const headers = await signatureOf(key, {
    url: `${API}${path}`,
    method,
    body,
    region: "eu-central-1",
    at: "20261122T100000Z",
  });
  assert.equal(headers.get("x-amz-date"), "20261122T100000Z");
  assert.equal(headers.get("host"), null);
  assert.equal(headers.get("x-amz-security-token"), key.sessionToken ?? null);
  return headers.get("authorization");
}

test("a query with letters of all kinds is signed as AWS signs it", async () => {
  const query = queryText({ url: "https://shop.example/a b?c=é+1", shop: "a" });
  assert.equal(query, "url=https%3A%2F%2Fshop.example%2Fa%20b%3Fc%3D%C3%A9%2B1&shop=a");
  assert.equal(
    await authorization(KEY, "GET", `why?${query}`),
    `AWS4-HMAC-SHA256 ${SCOPE}, SignedHeaders=host;x-amz-date, ` +
      "Signature=d0c33f3b4138a14603c2a72241e6bf5ffc19ba413faa2c2bfc4b719e4119aff2",
  );
});

test("a body and the token of a temporary key are signed with it", async () => {
  const temporary = { ...KEY, sessionToken: "tok/en==" };
  const body = '{"label":"hi-fi, audio & spéakers"}';
  assert.equal(
    await authorization(temporary, "POST", `reviews/photos/${"0".repeat(64)}`, body),
    `AWS4-HMAC-SHA256 ${SCOPE}, SignedHeaders=host;x-amz-date;x-amz-security-token, ` +
      "Signature=1350ac03f5f98af3adef72baf3b0ce29b983564efcabdf5f758cf224d24eaba0",
  );
});

test("an undo is signed", async () => {
  assert.equal(
    await authorization(KEY, "DELETE", "reviews/matches/0a1b"),
    `AWS4-HMAC-SHA256 ${SCOPE}, SignedHeaders=host;x-amz-date, ` +
      "Signature=f68d40c078c8eaecb58007b878091d119c404a6c2ec9c6d4fcbc9c546a691ba2",
  );
});
