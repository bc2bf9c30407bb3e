/** Pages for web views: static HTML without scripts, in the colours of the editor's theme. Knows nothing of VS Code. */

import type { Arm, Statistics } from "./protocol";
import type { TuneReport } from "./tune";

const STYLE = `
  body { font-family: var(--vscode-font-family); color: var(--vscode-foreground); max-width: 60em; margin: 2em auto; padding: 0 1em; }
  table { border-collapse: collapse; margin: 1em 0; }
  th, td { padding: 0.3em 0.8em; border-bottom: 1px solid var(--vscode-widget-border, #8888); text-align: right; }
  th:first-child, td:first-child { text-align: left; }
  svg { max-width: 40em; width: 100%; height: auto; }
  svg text { fill: var(--vscode-foreground); font-size: 11px; }
  .axis { stroke: var(--vscode-foreground); opacity: 0.5; }
  .curve { stroke: var(--vscode-charts-blue, #38f); fill: none; stroke-width: 2; }
  .dot { fill: var(--vscode-charts-blue, #38f); }
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

const percent = (share: number) => `${share >= 0 ? "+" : "−"}${Math.abs(100 * share).toFixed(1)} %`;

/** The result of a tuning run: the verdict in words, the scores of every arm, and the learning curve. */
export function tuningPage(report: TuneReport): string {
  const { proof } = report;
  const verdict = report.proven
    ? `The prompt proved itself on files it had not seen, and serves from now on: ${report.written ?? ""}`
    : report.interrupted
      ? "Stopped before the prompt had proved itself; nothing that serves was changed."
      : `The prompt did not prove itself on unseen files, so it does not serve. It was kept as ${report.written ?? "nothing"}.`;
  const parts = [
    `<p><strong>${escapeHtml(verdict)}</strong></p>`,
    `<p>${escapeHtml(
      `${report.repository}: tuned on ${report.files.train} files for ${report.steps} steps (${Math.round(report.seconds)} s), ` +
        `chosen on ${report.files.validation}, measured on ${report.files.test} unseen files.`,
    )}</p>`,
  ];
  if (proof !== null) {
    const bounds = proof.gain_low === null || proof.gain_high === null ? "" : `; 95 % interval ${percent(proof.gain_low)} to ${percent(proof.gain_high)}`;
    parts.push(
      `<p>${escapeHtml(`Bits saved on unseen files: ${percent(proof.gain)}${bounds}.`)}</p>`,
      table(
        ["", "bits per byte", "exact lines", "edit similarity"],
        Object.entries(proof.arms).map(([name, arm]) => [
          name,
          arm.bits_per_byte.toFixed(3),
          `${Math.round(100 * arm.exact_match)} %`,
          `${Math.round(100 * arm.edit_similarity)} %`,
        ]),
      ),
    );
  }
  parts.push(curve(report.validation));
  return page(`Tuning on ${report.repository}`, parts.join("\n"));
}

function curve(points: TuneReport["validation"]): string {
  if (points.length < 2) {
    return "";
  }
  const [width, height, edge] = [480, 220, 48];
  const steps = points.map(({ step }) => step);
  const gains = [0, ...points.map(({ gain }) => gain)];
  const [low, high, last] = [Math.min(...gains), Math.max(...gains), Math.max(1, ...steps)];
  const x = (step: number) => edge + ((width - 2 * edge) * step) / last;
  const y = (gain: number) => height - edge + ((2 * edge - height) * (gain - low)) / (high - low || 1);
  const line = points.map(({ step, gain }) => `${x(step).toFixed(1)},${y(gain).toFixed(1)}`);
  const dots = line.map((point) => `<circle class="dot" r="3" cx="${point.split(",")[0]}" cy="${point.split(",")[1]}"/>`);
  const label = (at: number, text: string) => `<text x="4" y="${(y(at) + 4).toFixed(1)}">${text}</text>`;
  return `<h2>Validation files: bits saved against no prompt</h2>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Learning curve: ${percent(points[0]!.gain)} at first, ${percent(points.at(-1)!.gain)} at last">
<line class="axis" x1="${edge}" x2="${width - edge}" y1="${y(0).toFixed(1)}" y2="${y(0).toFixed(1)}"/>
<polyline class="curve" points="${line.join(" ")}"/>${dots.join("")}
${label(low, percent(low))}${high > low ? label(high, percent(high)) : ""}
<text x="${width - edge}" y="${height - edge / 2}" text-anchor="end">step ${last}</text></svg>`;
}

/** The figures of the user's own typing, with and without the prompt. */
export function statisticsPage(statistics: Statistics): string {
  const { with_prompt, without_prompt, comparison } = statistics;
  const value = (number: number | null) => (number === null ? "–" : number.toFixed(1));
  const row = (name: string, of: (arm: Arm) => string) => [name, of(with_prompt), of(without_prompt)];
  const share = (of: (arm: Arm) => number) => (arm: Arm) =>
    arm.suggestions === 0 ? "–" : `${of(arm)} (${Math.round((100 * of(arm)) / arm.suggestions)} %)`;
  const body = table(
    ["", statistics.prompt === null ? "with a prompt" : `with prompt ${statistics.prompt}`, "without, for comparison"],
    [
      row("suggestions", (arm) => String(arm.suggestions)),
      row("accepted", share((arm) => arm.accepted)),
      row("accepted in part", share((arm) => arm.partially_accepted)),
      row("rejected", share((arm) => arm.rejected)),
      row("characters taken", (arm) => String(arm.characters_taken)),
      row("kept after 15 s, per suggestion", (arm) => value(arm.kept_after_15_s)),
      row("kept after 2 min", (arm) => value(arm.kept_after_120_s)),
      row("kept after 10 min", (arm) => value(arm.kept_after_600_s)),
    ],
  );
  const difference =
    comparison.difference === null
      ? ""
      : ` Kept characters per suggestion, with minus without: ${value(comparison.difference)}` +
        ` (95 % interval ${value(comparison.low)} to ${value(comparison.high)}).`;
  const verdict = {
    unknown: "There is not enough typing yet to tell what the prompt is worth to you.",
    "worth it": "The prompt is worth it: more of what it suggests stays in your code.",
    "worth nothing": "Your typing shows no gain from the prompt.",
  }[comparison.verdict];
  const where = statistics.file === null ? "Statistics are off." : `These counts are kept in ${statistics.file}, on this machine alone, without any code.`;
  return page("Attune statistics", `<p><strong>${escapeHtml(verdict + difference)}</strong></p>${body}<p>${escapeHtml(where)}</p>`);
}
