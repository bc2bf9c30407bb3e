/** “Tune a Prompt on This Repository” and “Refresh the Prompt”: runs `attune tune`, shows its progress and its result. */

import { ProgressLocation, window, workspace } from "vscode";
import { outcomeOf } from "./commandOutcome";
import { showCommandPage } from "./pages/commandPage";
import { type CommandContext, runAttune } from "./process";
import { chosenPromptFile, readSettings, setPromptFile } from "./settings";
import { barFraction, parseProgress, progressMessage } from "./tuneProgress";
import { proofSentence, type TuneReport } from "./tuneReport";

/** Tunes a new prompt on the folder, or with `refresh` the present prompt on what changed. */
export async function tune(context: CommandContext, folder: string, refresh: boolean): Promise<void> {
  const chosen = refresh ? chosenPromptFile() : null;
  const options = refresh ? ["--refresh", ...(chosen === null ? [] : ["--out", chosen])] : [];
  const minutes = String(readSettings().tuneMinutes);
  const args = ["tune", folder, "--json", "--progress-json", "--minutes", minutes, ...options];
  const outcome = outcomeOf<TuneReport>(await runWithProgressBar(context, args));
  if (!outcome.ok) {
    void window.showWarningMessage(`Attune: ${outcome.error.message}`);
    return;
  }
  const { written } = outcome.value;
  if (written !== null) {
    const error = await showCommandPage(context, "Tuning", (page) => ["report", written, "--html", page]);
    if (error !== undefined) {
      void window.showWarningMessage(`Attune: ${error.message}`);
    }
  }
  await showReport(outcome.value);
}

function runWithProgressBar(context: CommandContext, args: string[]) {
  const options = { location: ProgressLocation.Notification, title: "Attune", cancellable: true };
  return window.withProgress(options, (progress, token) => {
    const controller = new AbortController();
    token.onCancellationRequested(() => controller.abort());
    progress.report({ message: "Loading the model…" });
    let bar = 0;
    const onLine = (line: string): void => {
      const update = parseProgress(line);
      if (update !== undefined) {
        const next = barFraction(update) ?? bar;
        progress.report({ message: progressMessage(update), increment: 100 * (next - bar) });
        bar = next;
      }
    };
    return runAttune(context, args, { onLine, signal: controller.signal });
  });
}

/** Says what the run led to, and offers to use a prompt that does not serve by itself. */
async function showReport({ repository, interrupted, proof, proven, written }: TuneReport): Promise<void> {
  if (written === null && !interrupted) {
    void window.showInformationMessage("Attune: nothing better than the present prompt was found; it stays as it is.");
    return;
  }
  const gain = proof === null ? "" : ` ${proofSentence(proof)}`;
  if (proven) {
    const success = `Attune: the prompt for ${repository} proved itself`;
    const { promptFile } = readSettings();
    if (promptFile === null || promptFile === written) {
      void window.showInformationMessage(`${success} and serves from now on.${gain}`);
    } else if (await window.showInformationMessage(`${success}.${gain} The setting attune.promptFile says otherwise.`, "Use It")) {
      await setPromptFile("");
    }
    return;
  }
  const cause = interrupted ? "was stopped before it had proved itself" : "did not prove itself on unseen files";
  const sentence = `Attune: the prompt ${cause}, so it does not serve.`;
  if (written === null) {
    void window.showWarningMessage(sentence);
  } else if (await window.showWarningMessage(sentence, "Use It Anyway")) {
    await setPromptFile(workspace.asRelativePath(written, false));
  }
}
