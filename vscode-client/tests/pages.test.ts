import assert from "node:assert/strict";
import test from "node:test";
import { escapeHtml, statisticsPage, tuningPage } from "../src/pages";
import type { Arm } from "../src/protocol";

const arm = { bits_per_byte: 1.1, exact_match: 0.25, edit_similarity: 0.5 };
const report = {
  repository: "<b>demo</b>",
  files: { train: 8, validation: 2, test: 3 },
  steps: 40,
  seconds: 61.4,
  interrupted: false,
  validation: [{ step: 20, gain: -0.01 }, { step: 40, gain: 0.02 }],
  proof: { gain: 0.02, gain_low: 0.01, gain_high: 0.03, arms: { "no prompt": arm, "this prompt": arm } },
  proven: true,
  written: "/x/.attune/prompt.attune.safetensors",
};

test("a page holds no script and lets none run", () => {
  const page = tuningPage(report);
  assert.ok(page.includes("default-src 'none'"));
  assert.ok(!page.includes("<b>demo"));
  assert.ok(page.includes("&#60;b&#62;demo"));
});

test("the verdict and the curve are told in words", () => {
  const page = tuningPage(report);
  assert.match(page, /proved itself/);
  assert.match(page, /\+2\.0 %; 95 % interval \+1\.0 % to \+3\.0 %/);
  assert.match(page, /aria-label="Learning curve: −1\.0 % at first, \+2\.0 % at last"/);
  assert.match(tuningPage({ ...report, proven: false }), /did not prove itself/);
  assert.match(tuningPage({ ...report, proven: false, proof: null, interrupted: true, validation: [] }), /Stopped before/);
});

test("statistics compare both arms and hide nothing that is missing", () => {
  const empty: Arm = {
    suggestions: 0, accepted: 0, partially_accepted: 0, rejected: 0, characters_taken: 0,
    kept_after_15_s: null, kept_after_120_s: null, kept_after_600_s: null,
  };
  const some = { ...empty, suggestions: 4, accepted: 1, kept_after_15_s: 12.25 };
  const comparison = { verdict: "unknown", difference: null, low: null, high: null } as const;
  const page = statisticsPage({ file: null, prompt: "team", with_prompt: some, without_prompt: empty, comparison });
  assert.match(page, /with prompt team/);
  assert.match(page, /1 \(25 %\)/);
  assert.match(page, /12\.3/);
  assert.match(page, /not enough typing/);
});

test("everything that HTML reads is escaped", () => {
  assert.equal(escapeHtml(`<a href="x">&'`), "&#60;a href=&#34;x&#34;&#62;&#38;&#39;");
});
