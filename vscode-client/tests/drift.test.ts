import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import test from "node:test";
import { type Drift, DriftMonitor, driftSentence, headOf } from "../src/drift";

const HOUR = 3600_000;
const DRIFTED: Drift = { sha256: "1234", drifted: true, gain: 0.01, proven_gain: 0.0421 };

/** A monitor whose clock, HEAD and answer the test sets; `shown` and `measured` say what it did. */
function prepare() {
  const stored = new Map<string, unknown>();
  const world = { now: 0, head: "one" as string | null, drift: DRIFTED as Drift | null, measured: 0, shown: [] as [string, Drift | null][] };
  const memory = {
    get: <T>(key: string) => stored.get(key) as T | undefined,
    update: async (key: string, value: unknown) => void stored.set(key, structuredClone(value)),
  };
  const measure = async () => {
    world.measured += 1;
    return world.drift;
  };
  const show = (prompt: string, drift: Drift | null) => void world.shown.push([prompt, drift]);
  const open = () => new DriftMonitor(measure, async () => world.head, memory, show, () => world.now);
  return { world, open };
}

test("measures once for a prompt, and a later window shows it again", async () => {
  const { world, open } = prepare();
  await open().check("p@1234");
  await open().check("p@1234");
  assert.equal(world.measured, 1);
  assert.deepEqual(world.shown, [["p@1234", DRIFTED], ["p@1234", DRIFTED]]);
});

test("measures again after a day, after a commit but not within the hour, and for another prompt", async () => {
  const { world, open } = prepare();
  const monitor = open();
  const measuredAt = async (now: number, prompt = "p@1234") => {
    world.now = now;
    await monitor.check(prompt);
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
  const monitor = open();
  await Promise.all([monitor.check("p@1234"), monitor.check("p@12")]);
  assert.equal(world.measured, 1);
  world.drift = null; // attune could not measure it
  await monitor.check("p@12");
  await monitor.check("p@12");
  assert.equal(world.measured, 2);
  assert.deepEqual(world.shown.at(-1), ["p@12", null]);
});

test("a measurement of another prompt than the one that serves is dropped", async () => {
  const { world, open } = prepare();
  await open().check("other@5678");
  assert.deepEqual(world.shown, [["other@5678", null]]);
});

test("prompts that serve in turn are each measured once", async () => {
  const { world, open } = prepare();
  const monitor = open();
  for (const prompt of ["p@1234", "other@5678", "p@1234", "other@5678"]) {
    await monitor.check(prompt);
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
  const monitor = new DriftMonitor(fail, async () => null, memory, () => undefined);
  await assert.rejects(monitor.check("p@1234"), /no interpreter/);
  await assert.rejects(monitor.check("p@1234"), /no interpreter/);
  assert.equal(calls, 2);
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
