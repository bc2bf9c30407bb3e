/** “Use Prompt…”: which prompt file serves in this workspace. */

import * as path from "node:path";
import { type QuickPickItem, type Uri, window, workspace } from "vscode";
import { NO_PROMPT, setPromptFile } from "./settings";

const PROMPT_FILES = "**/*.attune.safetensors";
const MAX_FILES = 100;

/** The prompt files of the workspace. */
export function findPromptFiles(): Thenable<Uri[]> {
  return workspace.findFiles(PROMPT_FILES, "**/node_modules/**", MAX_FILES);
}

/** Lets the user choose among the repository's prompt files, its own rule, and no prompt. */
export async function usePrompt(): Promise<void> {
  const files = await findPromptFiles();
  const choices: (QuickPickItem & { value: string })[] = [
    { label: "The repository's own", description: "if it has proved itself", value: "" },
    { label: "No prompt", description: "the bare model", value: NO_PROMPT },
    ...files.map((uri) => workspace.asRelativePath(uri, false)).sort().map((file) => ({
      label: path.basename(file),
      description: path.dirname(file),
      value: file,
    })),
  ];
  const chosen = await window.showQuickPick(choices, {
    title: "Attune: Use Prompt",
    placeHolder: "Which prompt should serve in this workspace?",
  });
  if (chosen !== undefined) {
    await setPromptFile(chosen.value);
  }
}
