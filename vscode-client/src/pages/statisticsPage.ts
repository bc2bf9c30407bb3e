/** The page of “Show Statistics”: what became of suggestions, with the prompt and without it. Knows nothing of VS Code. */

import type { AbTestResult, ArmSummary, Statistics } from "../protocol";
import { html, page, table } from "./html";

const VERDICTS: Record<AbTestResult["verdict"], string> = {
  unknown: "There is not enough typing yet to tell what the prompt is worth to you.",
  gain: "The prompt helps: more of what is suggested stays in your code.",
  no_gain: "Your typing shows no gain from the prompt.",
};

export function statisticsPage({ file, prompt, with_prompt, without_prompt, ab_test }: Statistics): string {
  const row = (label: string, cell: (arm: ArmSummary) => string) => [label, cell(with_prompt), cell(without_prompt)];
  const counts = table(
    ["", prompt === null ? "with a prompt" : `with prompt ${prompt}`, "without, for comparison"],
    [
      row("places", (arm) => String(arm.places)),
      row("suggestions", (arm) => share(arm.suggestions, arm.places)),
      row("accepted", (arm) => share(arm.accepted, arm.suggestions)),
      row("accepted in part", (arm) => share(arm.partially_accepted, arm.suggestions)),
      row("rejected", (arm) => share(arm.rejected, arm.suggestions)),
      row("characters accepted", (arm) => String(arm.characters_accepted)),
      row("characters kept after 15 s, per place", (arm) => decimal(arm.retained_after_15_s)),
      row("kept after 2 min", (arm) => decimal(arm.retained_after_120_s)),
      row("kept after 10 min", (arm) => decimal(arm.retained_after_600_s)),
    ],
  );
  const storage = file === null ? "Statistics are off." : `These counts are kept in ${file}, on this machine alone, without any code.`;
  const verdict = VERDICTS[ab_test.verdict] + difference(ab_test);
  return page("Attune statistics", html`<p><strong>${verdict}</strong></p>${counts}<p>${storage}</p>`);
}

function difference({ difference, low, high }: AbTestResult): string {
  return difference === null
    ? ""
    : ` Kept characters per place, with minus without: ${decimal(difference)} (95 % interval ${decimal(low)} to ${decimal(high)}).`;
}

function share(count: number, total: number): string {
  return total === 0 ? "–" : `${count} (${Math.round((100 * count) / total)} %)`;
}

function decimal(value: number | null): string {
  return value === null ? "–" : value.toFixed(1);
}
