/** Use, pull and publish prompt files. */

import * as path from "node:path";
import { ProgressLocation, type QuickPickItem, window, workspace } from "vscode";
import { type Place, runAttune } from "./process";
import { NO_PROMPT, settingsTarget, workspaceFolder } from "./settings";

const PROMPT_FILES = "**/*.attune.safetensors";

/** Lets the user choose among the repository's prompt files, its own rule, and no prompt. */
export async function usePrompt(): Promise<void> {
  const files = await workspace.findFiles(PROMPT_FILES, "**/node_modules/**", 100);
  const choices: (QuickPickItem & { value: string })[] = [
    { label: "The repository's own", description: "if it has proved itself", value: "" },
    { label: "No prompt", description: "the bare model", value: NO_PROMPT },
    ...files.map((uri) => workspace.asRelativePath(uri, false)).sort().map((file) => ({
      label: path.basename(file),
      description: path.dirname(file),
      value: file,
    })),
  ];
  const chosen = await window.showQuickPick(choices, { title: "Attune: Use Prompt", placeHolder: "Which prompt shall serve in this workspace?" });
  if (chosen !== undefined) {
    await setPrompt(chosen.value);
  }
}

export async function setPrompt(value: string): Promise<void> {
  await workspace.getConfiguration("attune").update("promptFile", value, settingsTarget());
}

/** Asks where from, and runs `attune prompt pull` in the repository. */
export async function pullPrompt(place: Place): Promise<void> {
  await share(place, "pull", "Pull Prompt", "Where to take the team's prompt from: a folder or a URL");
}

/** Asks where to, and runs `attune prompt push` in the repository. */
export async function publishPrompt(place: Place): Promise<void> {
  await share(place, "push", "Publish Prompt", "Where to put this repository's prompt: a folder or a URL");
}

async function share(place: Place, command: "pull" | "push", title: string, prompt: string): Promise<void> {
  const folder = workspaceFolder();
  if (folder === undefined) {
    void window.showWarningMessage("Attune: open the repository's folder first.");
    return;
  }
  const registry = await window.showInputBox({ title: `Attune: ${title}`, prompt, ignoreFocusOut: true });
  if (registry === undefined || registry.trim() === "") {
    return;
  }
  const ran = await window.withProgress({ location: ProgressLocation.Notification, title: `Attune: ${title}` }, (progress) =>
    runAttune({ ...place, cwd: folder }, ["prompt", command, registry.trim()], (line) => progress.report({ message: line })),
  );
  const said = ran.lastLine.replace(/^attune: /, "") || ran.stdout.trim().split("\n").at(-1) || title;
  void (ran.code === 0 ? window.showInformationMessage(`Attune: ${said}`) : window.showWarningMessage(`Attune: ${said}`));
}
