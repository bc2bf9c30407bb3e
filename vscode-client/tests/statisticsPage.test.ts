import assert from "node:assert/strict";
import test from "node:test";
import { Html, html, page, table } from "../src/pages/html";
import { statisticsPage } from "../src/pages/statisticsPage";
import type { ArmSummary } from "../src/protocol";

const EMPTY: ArmSummary = {
  places: 0, suggestions: 0, accepted: 0, partially_accepted: 0, rejected: 0, characters_accepted: 0,
  retained_after_15_s: null, retained_after_120_s: null, retained_after_600_s: null,
};
const UNKNOWN = { verdict: "unknown", difference: null, low: null, high: null } as const;

test("statistics compare both arms, and show what is missing as missing", () => {
  const some = { ...EMPTY, places: 8, suggestions: 4, accepted: 1, retained_after_15_s: 12.25 };
  const text = statisticsPage({ file: null, prompt: "team", with_prompt: some, without_prompt: EMPTY, ab_test: UNKNOWN });
  assert.match(text, /default-src 'none'/); // no script, and nothing from outside
  assert.match(text, /<th>with prompt team<\/th>/);
  assert.match(text, /<td>accepted<\/td><td>1 \(25 %\)<\/td><td>–<\/td>/);
  assert.match(text, /<td>characters kept after 15 s, per place<\/td><td>12\.3<\/td><td>–<\/td>/);
  assert.match(text, /not enough typing/);
});

test("each verdict has its words, with the interval", () => {
  const pageOf = (verdict: "gain" | "no_gain") => {
    const ab_test = { verdict, difference: 1.5, low: 0.25, high: 2.75 };
    return statisticsPage({ file: "/counts", prompt: null, with_prompt: EMPTY, without_prompt: EMPTY, ab_test });
  };
  assert.match(pageOf("gain"), /The prompt helps: .* 1\.5 \(95 % interval 0\.3 to 2\.8\)/);
  assert.match(pageOf("no_gain"), /no gain from the prompt/);
});

test("names of files and prompts cannot become markup", () => {
  const evil = "<script>alert(1)</script>";
  const text = statisticsPage({ file: evil, prompt: evil, with_prompt: EMPTY, without_prompt: EMPTY, ab_test: UNKNOWN });
  assert.doesNotMatch(text, /<script/);
  assert.equal(text.match(/&#60;script&#62;/g)?.length, 2);
});

test("the template escapes every value but finished markup", () => {
  const evil = `<a href="x">&'`;
  const escaped = "&#60;a href=&#34;x&#34;&#62;&#38;&#39;";
  assert.equal(html`<i>${evil}</i>`.markup, `<i>${escaped}</i>`);
  assert.equal(html`${new Html("<b>")}${[html`${evil}`, html`x`]}`.markup, `<b>${escaped}x`);
  assert.equal(table([evil], [[evil]]).markup.split(escaped).length, 3);
  assert.equal(page(evil, html``).split(escaped).length, 3);
  assert.equal(html`\n`.markup, "\n");
});
