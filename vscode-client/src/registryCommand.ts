/** What pulling and publishing share: which registry is meant, and a command that runs with a notice. */

import { ProgressLocation, window } from "vscode";
import { type Outcome, outcomeOf } from "./commandOutcome";
import { type CommandContext, runAttune } from "./process";
import { workspaceFolder } from "./settings";

/** The repository's folder and the options that name it and the registry. */
export interface Registry {
  readonly folder: string;
  readonly options: readonly string[];
}

/** Asks for the registry; undefined if the user gives up, or no folder is open. */
export async function askRegistry(title: string): Promise<Registry | undefined> {
  const folder = workspaceFolder();
  if (folder === undefined) {
    void window.showWarningMessage("Attune: open the repository's folder first.");
    return undefined;
  }
  const prompt = "The registry: a folder, a URL, or a git remote. Empty: the one that .attune/attune.toml names.";
  const address = await window.showInputBox({ title: `Attune: ${title}`, prompt, ignoreFocusOut: true });
  const options = address?.trim() ? ["--registry", address.trim()] : [];
  return address === undefined ? undefined : { folder, options: ["--repository", folder, ...options] };
}

/** Runs a sub-command in the repository, with a notice that shows what it prints on stderr. */
export async function runWithNotice<T>(context: CommandContext, folder: string, title: string, args: string[]): Promise<Outcome<T>> {
  const options = { location: ProgressLocation.Notification, title: `Attune: ${title}` };
  const result = await window.withProgress(options, (progress) =>
    runAttune({ ...context, cwd: folder }, [...args, "--json"], { onLine: (message) => progress.report({ message }) }),
  );
  return outcomeOf<T>(result);
}

/** Shows the sentence about a result, or the error. */
export function showOutcome<T>(outcome: Outcome<T>, sentence: (value: T) => string): void {
  void (outcome.ok
    ? window.showInformationMessage(`Attune: ${sentence(outcome.value)}`)
    : window.showWarningMessage(`Attune: ${outcome.error.message}`));
}
