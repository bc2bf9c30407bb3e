import assert from "node:assert/strict";
import test from "node:test";
import { proofSentence } from "../src/tuneReport";

test("a proof is told by what people see", () => {
  const acceptance = { places: 200, with_prompt: { shown: 0.5, right: 0.6 }, without: { shown: 0.4, right: 0.5 } };
  assert.equal(
    proofSentence({ gain: 0.0421, acceptance }),
    "At 100 places of unseen files it shows 50 suggestions, 30 of them right; without it 40, 20 of them right.",
  );
});

test("of fewer than a hundred places each counts", () => {
  const acceptance = { places: 10, with_prompt: { shown: 0.5, right: 0.6 }, without: { shown: 0.4, right: 0.5 } };
  assert.equal(
    proofSentence({ gain: 0.0421, acceptance }),
    "At 10 places of unseen files it shows 5 suggestions, 3 of them right; without it 4, 2 of them right.",
  );
});

test("without completions the bits remain, without a proof nothing", () => {
  assert.equal(proofSentence({ gain: 0.0421, acceptance: null }), "It saves 4.2 % of the bits of unseen files.");
  assert.equal(proofSentence(null), "");
});
