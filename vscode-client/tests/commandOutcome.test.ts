import assert from "node:assert/strict";
import test from "node:test";
import { outcomeOf } from "../src/commandOutcome";

const result = (stdout: string, exitCode = 0, lastLine = "") => ({ stdout, exitCode, lastLine });

test("a result is the object that was printed, whatever the exit code", () => {
  assert.deepEqual(outcomeOf(result('{"passed": false}\n', 1)), { ok: true, value: { passed: false } });
});

test("an error has its code, and the words on stderr decide nothing", () => {
  const error = { code: "consent_required", message: "Prompt 'team' is not signed." };
  assert.deepEqual(outcomeOf(result(JSON.stringify({ error }), 2, "attune: give --force.")), { ok: false, error });
});

test("a code that is not of the list is an internal error with all that was printed", () => {
  for (const error of [{ code: "new_code", message: "x" }, { code: "usage" }, "usage", null]) {
    const expected = { code: "internal", message: JSON.stringify(error) };
    assert.deepEqual(outcomeOf(result(JSON.stringify({ error }), 2)), { ok: false, error: expected });
  }
});

test("no JSON object is an internal error that shows the last line of stderr", () => {
  for (const stdout of ["", "text", "[1]", "null", '{"passed":']) {
    const failed = { ok: false, error: { code: "internal", message: "No module named attune" } };
    assert.deepEqual(outcomeOf(result(stdout, 1, "No module named attune")), failed);
  }
  assert.match(JSON.stringify(outcomeOf(result("", 3))), /exit code 3/);
});
