/** Pages for web views: static HTML without scripts, in the colours of the editor's theme. Knows nothing of VS Code. */

import type { ArmSummary, Statistics } from "./protocol";

const STYLE = `
  body { font-family: var(--vscode-font-family); color: var(--vscode-foreground); max-width: 60em; margin: 2em auto; padding: 0 1em; }
  table { border-collapse: collapse; margin: 1em 0; }
  th, td { padding: 0.3em 0.8em; border-bottom: 1px solid var(--vscode-widget-border, #8888); text-align: right; }
  th:first-child, td:first-child { text-align: left; }
`;

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}

function page(title: string, body: string): string {
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><h1>${escapeHtml(title)}</h1>${body}</body></html>`;
}

function table(head: string[], rows: string[][]): string {
  const cells = (row: string[], tag: string) => row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("");
  const body = rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("");
  return `<table><thead><tr>${cells(head, "th")}</tr></thead><tbody>${body}</tbody></table>`;
}

/** The figures of the user's own typing, with and without the prompt. */
export function statisticsPage(statistics: Statistics): string {
  const { with_prompt, without_prompt, ab_test } = statistics;
  const value = (number: number | null) => (number === null ? "–" : number.toFixed(1));
  const row = (name: string, of: (arm: ArmSummary) => string) => [name, of(with_prompt), of(without_prompt)];
  const share = (of: (arm: ArmSummary) => number) => (arm: ArmSummary) =>
    arm.suggestions === 0 ? "–" : `${of(arm)} (${Math.round((100 * of(arm)) / arm.suggestions)} %)`;
  const body = table(
    ["", statistics.prompt === null ? "with a prompt" : `with prompt ${statistics.prompt}`, "without, for comparison"],
    [
      row("suggestions", (arm) => String(arm.suggestions)),
      row("accepted", share((arm) => arm.accepted)),
      row("accepted in part", share((arm) => arm.partially_accepted)),
      row("rejected", share((arm) => arm.rejected)),
      row("characters accepted", (arm) => String(arm.characters_accepted)),
      row("kept after 15 s, per suggestion", (arm) => value(arm.retained_after_15_s)),
      row("kept after 2 min", (arm) => value(arm.retained_after_120_s)),
      row("kept after 10 min", (arm) => value(arm.retained_after_600_s)),
    ],
  );
  const difference =
    ab_test.difference === null
      ? ""
      : ` Kept characters per suggestion, with minus without: ${value(ab_test.difference)}` +
        ` (95 % interval ${value(ab_test.low)} to ${value(ab_test.high)}).`;
  const verdict = {
    unknown: "There is not enough typing yet to tell what the prompt is worth to you.",
    gain: "The prompt helps: more of what is suggested stays in your code.",
    no_gain: "Your typing shows no gain from the prompt.",
  }[ab_test.verdict];
  const where = statistics.file === null ? "Statistics are off." : `These counts are kept in ${statistics.file}, on this machine alone, without any code.`;
  return page("Attune statistics", `<p><strong>${escapeHtml(verdict + difference)}</strong></p>${body}<p>${escapeHtml(where)}</p>`);
}
