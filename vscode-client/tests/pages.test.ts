import assert from "node:assert/strict";
import test from "node:test";
import { escapeHtml, statisticsPage } from "../src/pages";
import type { ArmSummary } from "../src/protocol";

test("statistics compare both arms and hide nothing that is missing", () => {
  const empty: ArmSummary = {
    suggestions: 0, accepted: 0, partially_accepted: 0, rejected: 0, characters_accepted: 0,
    retained_after_15_s: null, retained_after_120_s: null, retained_after_600_s: null,
  };
  const some = { ...empty, suggestions: 4, accepted: 1, retained_after_15_s: 12.25 };
  const ab_test = { verdict: "unknown", difference: null, low: null, high: null } as const;
  const page = statisticsPage({ file: null, prompt: "team", with_prompt: some, without_prompt: empty, ab_test });
  assert.match(page, /default-src 'none'/); // no script, and nothing from outside
  assert.match(page, /with prompt team/);
  assert.match(page, /1 \(25 %\)/);
  assert.match(page, /12\.3/);
  assert.match(page, /not enough typing/);
});

test("everything that HTML reads is escaped", () => {
  assert.equal(escapeHtml(`<a href="x">&'`), "&#60;a href=&#34;x&#34;&#62;&#38;&#39;");
});
