import assert from "node:assert/strict";
import test from "node:test";
import { acceptedLength } from "../src/acceptedLength";

/** What is accepted of a suggestion at `|` after `inserted` came behind what stands there already. */
function after(suggestion: string, document: string, inserted: string): number | undefined {
  const start = document.indexOf("|");
  const before = document.replace("|", "");
  const rangeOffset = before.length;
  return acceptedLength(suggestion, start, { rangeOffset, text: inserted }, before + inserted);
}

test("a word counts from the suggestion's start, with what was accepted before", () => {
  assert.equal(after("first + second", "x = |", "first"), 5);
  assert.equal(after("first + second", "x = |first", " + "), 8);
  assert.equal(after("(a)", "f|", "("), 1);
});

test("UTF-16 units are counted, and line endings as they stand", () => {
  assert.equal(after("😀 smile", "|", "😀"), 2);
  assert.equal(after("a\r\n    b", "if x:|", "a\r\n"), 3);
});

test("the end of it, another text and a deletion are no part", () => {
  assert.equal(after("first", "x = |fir", "st"), undefined);
  assert.equal(after("first + second", "x = |", "last"), undefined);
  assert.equal(after("first + second", "x = |first", " * "), undefined);
  assert.equal(after("first + second", "x = |first", ""), undefined);
  assert.equal(acceptedLength("first + second", 4, { rangeOffset: 0, text: "firs" }, "firsfirst"), undefined);
});
