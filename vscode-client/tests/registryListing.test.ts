import assert from "node:assert/strict";
import test from "node:test";
import { listedPrompts } from "../src/registryListing";

const entry = (name: string, version: number, gain: number | null = 0.0421) => ({
  name, version, sha256: "12", model: "attune-default", gain, proven: true, audited: gain !== null, signed: false, lineage: [],
});

test("each name is listed once, with its newest version", () => {
  const versions = [entry("team", 2), entry("team", 10), entry("team", 1), entry("other", 1, null)];
  assert.deepEqual(listedPrompts({ versions }), [
    { name: "team", description: "version 10 for attune-default, saves 4.2 % of the bits, audited" },
    { name: "other", description: "version 1 for attune-default, gain unknown" },
  ]);
});

test("an empty registry lists nothing", () => {
  assert.deepEqual(listedPrompts({ versions: [] }), []);
});
