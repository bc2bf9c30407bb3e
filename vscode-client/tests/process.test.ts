import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import test, { type TestContext } from "node:test";
import { outcomeOf } from "../src/commandOutcome";
import { runAttune } from "../src/process";

/** A context whose interpreter is this shell script. */
async function contextOf(context: TestContext, script: string) {
  const folder = await mkdtemp(path.join(tmpdir(), "attune-process-"));
  context.after(() => rm(folder, { recursive: true }));
  const python = path.join(folder, "python");
  await writeFile(python, `#!/bin/sh\n${script}\n`);
  await chmod(python, 0o755);
  return { python, cwd: folder, env: process.env };
}

test("runs attune in isolated mode, and returns exit code, stdout and the last line of stderr", async (context) => {
  const script = `echo "{\\"arguments\\": \\"$*\\"}"; echo first >&2; echo last >&2; exit 1`;
  const lines: string[] = [];
  const result = await runAttune(await contextOf(context, script), ["status", "--json"], { onLine: (line) => lines.push(line) });
  assert.equal(result.exitCode, 1);
  assert.equal(result.lastLine, "last");
  assert.deepEqual(lines, ["first", "last"]);
  assert.deepEqual(outcomeOf(result), { ok: true, value: { arguments: "-I -m attune status --json" } });
});

test("the signal interrupts as Ctrl-C does, and the command's error comes back", async (context) => {
  const error = { code: "interrupted", message: "stopped by Ctrl-C." };
  const script = `trap 'echo '\\''${JSON.stringify({ error })}'\\''; exit 1' INT; echo ready >&2; while :; do sleep 0.05; done`;
  const controller = new AbortController();
  const options = { onLine: () => controller.abort(), signal: controller.signal };
  assert.deepEqual(outcomeOf(await runAttune(await contextOf(context, script), [], options)), { ok: false, error });
});

test("a command in the background gets one thread", async (context) => {
  const { stdout } = await runAttune(await contextOf(context, 'echo "$OMP_NUM_THREADS"'), [], { background: true });
  assert.equal(stdout, "1\n");
});

test("an interpreter that does not exist rejects", async () => {
  await assert.rejects(runAttune({ python: "/nowhere/python", cwd: "/", env: {} }, []), { code: "ENOENT" });
});
