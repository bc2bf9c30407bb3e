/** “Tune a Prompt on This Repository”: runs `attune tune`, shows how far it is, and what came of it. */

import { ProgressLocation, ViewColumn, window } from "vscode";
import { tuningPage } from "./pages";
import { type Place, runAttune } from "./process";

/** What `attune tune --json` prints. */
export interface TuneReport {
  readonly repository: string;
  readonly files: { readonly train: number; readonly validation: number; readonly test: number };
  readonly steps: number;
  readonly seconds: number;
  readonly interrupted: boolean;
  readonly validation: readonly { readonly step: number; readonly gain: number }[];
  readonly proof: {
    readonly gain: number;
    readonly gain_low: number | null;
    readonly gain_high: number | null;
    readonly arms: Readonly<Record<string, { bits_per_byte: number; exact_match: number; edit_similarity: number }>>;
  } | null;
  readonly proven: boolean;
  readonly written: string | null;
}

/** One line of `--progress-json`. */
interface ProgressLine {
  readonly phase: string;
  readonly done: number;
  readonly gain: number | null;
}

export async function tune(place: Place, repository: string, minutes: number): Promise<void> {
  const args = ["tune", repository, "--json", "--progress-json", "--minutes", String(minutes)];
  const ran = await window.withProgress(
    { location: ProgressLocation.Notification, title: "Attune", cancellable: true },
    (progress, token) => {
      const stop = new AbortController();
      token.onCancellationRequested(() => stop.abort());
      progress.report({ message: "Loading the model…" });
      let phase = "";
      let done = 0;
      return runAttune(
        place,
        args,
        (line) => {
          const now = parseProgress(line);
          if (now === undefined) {
            return;
          }
          if (now.phase !== phase) {
            [phase, done] = [now.phase, 0];
          }
          const gain = now.gain === null ? "" : `, ${(100 * now.gain).toFixed(1)} % bits saved`;
          progress.report({ message: `${phase}: ${Math.round(100 * now.done)} %${gain}`, increment: 100 * (now.done - done) });
          done = now.done;
        },
        stop.signal,
      );
    },
  );
  const report = parseReport(ran.stdout);
  if (report === undefined) {
    const said = ran.lastLine.replace(/^attune: /, "") || `attune tune ended with ${ran.code}.`;
    void window.showWarningMessage(`Attune: ${said}`);
    return;
  }
  const panel = window.createWebviewPanel("attune.tuning", "Attune: Tuning", ViewColumn.Active);
  panel.webview.html = tuningPage(report);
}

function parseProgress(line: string): ProgressLine | undefined {
  try {
    const value = JSON.parse(line) as ProgressLine;
    return typeof value.phase === "string" && typeof value.done === "number" ? value : undefined;
  } catch {
    return undefined; // a sentence for people
  }
}

function parseReport(stdout: string): TuneReport | undefined {
  try {
    return JSON.parse(stdout) as TuneReport;
  } catch {
    return undefined;
  }
}
