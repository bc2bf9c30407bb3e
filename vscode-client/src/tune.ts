/** “Tune a Prompt on This Repository” and “Refresh the Prompt”: runs `attune tune`, shows how far it is, and what came of it. */

import { ProgressLocation, window, workspace } from "vscode";
import { type Place, runAttune } from "./process";
import { setPrompt } from "./promptFiles";
import { NO_PROMPT, readSettings } from "./settings";
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

/** The prompt file that the user has chosen for this workspace; null: the repository's own, or none. */
export function chosenFile(): string | null {
  const { promptFile } = readSettings();
  return promptFile === NO_PROMPT ? null : promptFile;
}

// A bar of VS Code cannot go back, so one phase moves it; the words tell of all.
const LONGEST_PHASE = "Tuning";

/** Tunes a new prompt, or with `refresh` the present one on what changed. */
export async function tune(place: Place, repository: string, refresh: boolean): Promise<void> {
  const chosen = refresh ? chosenFile() : null;
  const how = refresh ? ["--refresh", ...(chosen === null ? [] : ["--out", chosen])] : [];
  const args = ["tune", repository, "--json", "--progress-json", "--minutes", String(readSettings().tuneMinutes), ...how];
  const ran = await window.withProgress(
    { location: ProgressLocation.Notification, title: "Attune", cancellable: true },
    (progress, token) => {
      const stop = new AbortController();
      token.onCancellationRequested(() => stop.abort());
      progress.report({ message: "Loading the model…" });
      let bar = 0;
      const onLine = (line: string): void => {
        const now = parseProgress(line);
        if (now === undefined) {
          return;
        }
        const next = now.phase === LONGEST_PHASE ? now.done : bar;
        const gain = now.gain === null ? "" : `, ${(100 * now.gain).toFixed(1)} % bits saved`;
        const message = `${now.phase}: ${Math.round(100 * now.done)} %${gain}`;
        progress.report({ message, increment: 100 * (next - bar) });
        bar = next;
      };
      return runAttune(place, args, { onLine, signal: stop.signal });
    },
  );
  const report = parseReport(ran.stdout);
  if (report === undefined) {
    const said = ran.lastLine.replace(/^attune: /, "") || `attune tune ended with ${ran.code}.`;
    void window.showWarningMessage(`Attune: ${said}`);
    return;
  }
  if (report.written !== null) {
    const { written } = report;
    const problem = await showWrittenPage(place, "Tuning", (page) => ["report", written, "--html", page]);
    if (problem !== undefined) {
      void window.showWarningMessage(`Attune: ${problem}`);
    }
  }
  await tellOutcome(report);
}

/** Says what came of it, and offers to use a prompt that does not serve by itself. */
async function tellOutcome({ repository, interrupted, proof, proven, written }: TuneReport): Promise<void> {
  if (written === null && !interrupted) {
    void window.showInformationMessage("Attune: nothing better than the present prompt was found; it stays as it is.");
    return;
  }
  const gain = proof === null ? "" : ` It saves ${(100 * proof.gain).toFixed(1)} % of the bits of unseen files.`;
  if (proven) {
    const itself = `Attune: the prompt for ${repository} proved itself`;
    const { promptFile } = readSettings();
    if (promptFile === null || promptFile === written) {
      void window.showInformationMessage(`${itself} and serves from now on.${gain}`);
    } else if (await window.showInformationMessage(`${itself}.${gain} The setting attune.promptFile says otherwise.`, "Use It")) {
      await setPrompt("");
    }
    return;
  }
  const what = interrupted ? "was stopped before it had proved itself" : "did not prove itself on unseen files";
  const sentence = `Attune: the prompt ${what}, so it does not serve.`;
  if (written === null) {
    void window.showWarningMessage(sentence);
  } else if (await window.showWarningMessage(sentence, "Use It Anyway")) {
    await setPrompt(workspace.asRelativePath(written, false));
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
