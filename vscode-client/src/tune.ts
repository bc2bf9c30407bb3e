/** “Tune a Prompt on This Repository”: runs `attune tune`, shows how far it is, and what came of it. */

import { ProgressLocation, window } from "vscode";
import { type Place, runAttune } from "./process";
import { showWrittenPage } from "./writtenPage";

/** What of `attune tune --json` is told. */
interface TuneReport {
  readonly repository: string;
  readonly interrupted: boolean;
  readonly proof: { readonly gain: number } | null;
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
  const gain = report.proof === null ? "" : ` It saves ${(100 * report.proof.gain).toFixed(1)} % of the bits of unseen files.`;
  if (report.written !== null) {
    const shown = await showWrittenPage(place, "Tuning", (page) => ["report", report.written ?? "", "--html", page]);
    if (shown !== undefined) {
      void window.showWarningMessage(`Attune: ${shown}`);
    }
  }
  if (report.proven) {
    void window.showInformationMessage(`Attune: the prompt for ${report.repository} proved itself and serves from now on.${gain}`);
  } else {
    const what = report.interrupted ? "was stopped before it had proved itself" : "did not prove itself on unseen files";
    void window.showWarningMessage(`Attune: the prompt ${what}, so it does not serve.`);
  }
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
