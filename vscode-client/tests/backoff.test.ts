import assert from "node:assert/strict";
import test from "node:test";
import { Backoff } from "../src/backoff";

test("waits double with every crash, and end", () => {
  const backoff = new Backoff(() => 0);
  const waits = Array.from({ length: 9 }, () => {
    backoff.started();
    return backoff.next();
  });
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, undefined]);
});

test("a server that ran for a while starts the count again, and so does the user", () => {
  let now = 0;
  const backoff = new Backoff(() => now);
  backoff.started();
  assert.equal(backoff.next(), 500);
  backoff.started();
  now += 120_000;
  assert.equal(backoff.next(), 500);
  assert.equal(backoff.next(), 500);
  backoff.started();
  assert.equal(backoff.next(), 1000);
  backoff.reset();
  assert.equal(backoff.next(), 500);
});
