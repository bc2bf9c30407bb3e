import assert from "node:assert/strict";
import test from "node:test";
import { barFraction, parseProgress, progressMessage } from "../src/tuneProgress";

const line = { phase: "train", description: "Tuning", done: 0.5, gain: 0.0421 };

test("a line of JSON is progress, and a sentence is none", () => {
  assert.deepEqual(parseProgress(JSON.stringify({ ...line, seconds: 3 })), line);
  assert.deepEqual(parseProgress(JSON.stringify({ ...line, gain: null })), { ...line, gain: null });
  for (const other of ["attune: stopped.", "{}", '{"phase": 1, "description": "x", "done": 0}', "1"]) {
    assert.equal(parseProgress(other), undefined);
  }
});

test("training alone moves the bar, whatever its words are", () => {
  assert.equal(barFraction({ ...line, description: "Lernen" }), 0.5);
  assert.equal(barFraction({ ...line, phase: "evaluate" }), undefined);
});

test("the message has the share and, once measured, the gain", () => {
  assert.equal(progressMessage(line), "Tuning: 50 %, 4.2 % bits saved");
  assert.equal(progressMessage({ ...line, gain: null }), "Tuning: 50 %");
});
