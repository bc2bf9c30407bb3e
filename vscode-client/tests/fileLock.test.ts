import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { withLock } from "../src/fileLock";

const never = new AbortController().signal;

async function lockIn(context: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "attune-lock-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return path.join(folder, "lock");
}

/** How many of `count` that begin at once work at the same time at most, and how many work at all. */
async function crowd(lock: string, count: number): Promise<{ together: number; worked: number }> {
  let [working, together, worked] = [0, 0, 0];
  const finished = new AbortController();
  const work = async (): Promise<void> => {
    together = Math.max(together, ++working);
    await new Promise((resolve) => setTimeout(resolve, 20));
    working--;
    worked++;
    finished.abort(); // the others need not wait a poll for their turn
  };
  const each = Array.from({ length: count }, () => withLock(lock, () => undefined, finished.signal, work));
  await Promise.allSettled(each);
  return { together, worked };
}

test("of many that begin at once one works at a time", async (context) => {
  for (let round = 0; round < 20; round++) {
    const { together, worked } = await crowd(await lockIn(context), 20);
    assert.equal(together, 1);
    assert.ok(worked >= 1);
  }
});

test("a stale lock is taken over by one of many", async (context) => {
  for (let round = 0; round < 20; round++) {
    const lock = await lockIn(context);
    await writeFile(lock, "0");
    const { together, worked } = await crowd(lock, 20);
    assert.equal(together, 1);
    assert.ok(worked >= 1);
    assert.deepEqual(await readdir(path.dirname(lock)), []);
  }
});

test("an owner that has not yet written its id is waited for", async (context) => {
  const lock = await lockIn(context);
  await writeFile(lock, "");
  let waits = 0;
  await withLock(lock, () => void (++waits === 1 && writeFile(lock, "0")), never, async () => undefined);
  assert.equal(waits, 1);
});
