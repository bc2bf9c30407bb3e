import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import test from "node:test";
import { type Drift, DriftWatch, driftSentence, headOf, parseDrift } from "../src/drift";

const HOUR = 3600_000;
const DRIFTED: Drift = { sha256: "1234", drifted: true, gain: 0.01, proven_gain: 0.0421 };

/** A watch whose clock, HEAD and answer the test sets; `told` and `measured` say what it did. */
function prepare() {
  const kept = new Map<string, unknown>();
  const world = { now: 0, head: "one" as string | null, drift: DRIFTED as Drift | null, measured: 0, told: [] as [string, Drift | null][] };
  const memory = {
    get: <T>(key: string) => kept.get(key) as T | undefined,
    update: async (key: string, value: unknown) => void kept.set(key, structuredClone(value)),
  };
  const measure = async () => {
    world.measured += 1;
    return world.drift;
  };
  const tell = (prompt: string, drift: Drift | null) => void world.told.push([prompt, drift]);
  const open = () => new DriftWatch(measure, async () => world.head, memory, tell, () => world.now);
  return { world, open };
}

test("measures once for a prompt, and a later window is told what is known", async () => {
  const { world, open } = prepare();
  await open().look("p@1234");
  await open().look("p@1234");
  assert.equal(world.measured, 1);
  assert.deepEqual(world.told, [["p@1234", DRIFTED], ["p@1234", DRIFTED]]);
});

test("measures again after a day, after a commit but not within the hour, and for another prompt", async () => {
  const { world, open } = prepare();
  const watch = open();
  const measuredAt = async (now: number, prompt = "p@1234") => {
    world.now = now;
    await watch.look(prompt);
    return world.measured;
  };
  assert.equal(await measuredAt(0), 1);
  assert.equal(await measuredAt(23 * HOUR), 1);
  assert.equal(await measuredAt(24 * HOUR), 2);
  world.head = "two";
  assert.equal(await measuredAt(24.5 * HOUR), 2);
  assert.equal(await measuredAt(25 * HOUR), 3);
  assert.equal(await measuredAt(25 * HOUR, "p@12"), 4);
});

test("never measures twice at once, and goes on after a failure", async () => {
  const { world, open } = prepare();
  const watch = open();
  await Promise.all([watch.look("p@1234"), watch.look("p@12")]);
  assert.equal(world.measured, 1);
  world.drift = null; // attune could not tell
  await watch.look("p@12");
  await watch.look("p@12");
  assert.equal(world.measured, 2);
  assert.deepEqual(world.told.at(-1), ["p@12", null]);
});

test("what was measured of another prompt than the one that serves says nothing", async () => {
  const { world, open } = prepare();
  await open().look("other@5678");
  assert.deepEqual(world.told, [["other@5678", null]]);
});

test("prompts that serve in turn are each measured once", async () => {
  const { world, open } = prepare();
  const watch = open();
  for (const prompt of ["p@1234", "other@5678", "p@1234", "other@5678"]) {
    await watch.look(prompt);
  }
  assert.equal(world.measured, 2);
});

test("a measurement that throws does not block the next one", async () => {
  const memory = { get: () => undefined, update: async () => undefined };
  let calls = 0;
  const fail = async () => {
    calls += 1;
    throw new Error("no interpreter");
  };
  const watch = new DriftWatch(fail, async () => null, memory, () => undefined);
  await assert.rejects(watch.look("p@1234"), /no interpreter/);
  await assert.rejects(watch.look("p@1234"), /no interpreter/);
  assert.equal(calls, 2);
});

test("reads what attune status says, and nothing else", () => {
  assert.deepEqual(parseDrift(JSON.stringify(DRIFTED)), DRIFTED);
  assert.equal(parseDrift(""), null);
  assert.equal(parseDrift("{}"), null);
});

test("the sentence has both figures and what to do", () => {
  assert.match(driftSentence(DRIFTED), /^Drifted: .*saves 1\.0 % .*4\.2 % .*“Attune: Refresh the Prompt”\.$/);
});

test("HEAD is asked of git", async (context) => {
  const folder = await mkdtemp(path.join(tmpdir(), "attune-drift-"));
  context.after(() => rm(folder, { recursive: true }));
  assert.equal(await headOf(folder), null);
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", folder, "-c", "user.name=T", "-c", "user.email=t@example.org", ...args], { encoding: "utf8" });
  git("init", "-q");
  assert.equal(await headOf(folder), null);
  git("commit", "-q", "--allow-empty", "-m", "One");
  assert.equal(await headOf(folder), git("rev-parse", "HEAD").trim());
});
