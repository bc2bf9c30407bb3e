/** The user's settings, with paths resolved. Their defaults stand in package.json only. */

import * as path from "node:path";
import { ConfigurationTarget, RelativePattern, type TextDocument, languages, workspace } from "vscode";
import { completedLanguages } from "./languages";

/** What the server needs to know; a change of any of it restarts the server. */
export interface Settings {
  /** Whether completions are on for any language. */
  readonly enable: boolean;
  /** A path, or the name of a command on the PATH; null: not set. */
  readonly pythonPath: string | null;
  readonly wheelFolder: string | null;
  /** The folder of another model than the one that attune brings; null: that one. */
  readonly model: string | null;
  /** An absolute path, or "none"; null: the server chooses. */
  readonly promptFile: string | null;
  readonly comparisonShare: number;
  readonly statistics: boolean;
  readonly tuneMinutes: number;
  readonly trusted: boolean;
}

export const NO_PROMPT = "none";

export function readSettings(): Settings {
  const configuration = workspace.getConfiguration("attune");
  // package.json gives every setting a default, so none is undefined.
  const value = <T>(key: string): T => configuration.get<T>(key) as T;
  const file = (key: string): string | null => {
    const text = value<string>(key).trim();
    return text === "" ? null : resolveInWorkspace(text);
  };
  const pythonPath = value<string>("pythonPath").trim();
  const isCommandName = pythonPath !== "" && !/[\\/]/.test(pythonPath);
  return {
    enable: isOnAnywhere(),
    pythonPath: isCommandName ? pythonPath : file("pythonPath"),
    wheelFolder: file("wheelFolder"),
    model: file("model"),
    promptFile: value<string>("promptFile").trim() === NO_PROMPT ? NO_PROMPT : file("promptFile"),
    comparisonShare: value<number>("comparisonShare"),
    statistics: value<boolean>("statistics"),
    tuneMinutes: value<number>("tuneMinutes"),
    trusted: workspace.isTrusted,
  };
}

export function workspaceFolder(): string | undefined {
  return workspace.workspaceFolders?.[0]?.uri.fsPath;
}

function resolveInWorkspace(file: string): string {
  return path.resolve(workspaceFolder() ?? "", file);
}

function isOnAnywhere(): boolean {
  const configuration = workspace.getConfiguration("attune");
  const named = configuration.inspect("enable")?.languageIds ?? [];
  const isOn = (languageId: string) => workspace.getConfiguration("attune", { languageId }).get<boolean>("enable") === true;
  return configuration.get<boolean>("enable") === true || named.some(isOn);
}

/** Whether the document is in a language that the model completes. */
export function isCompleted(document: TextDocument): boolean {
  return completedLanguages(readSettings().model).includes(document.languageId);
}

/** Why a document gets no completions by its settings, undefined if it does. */
export function offReason(document: TextDocument): string | undefined {
  if (workspace.getConfiguration("attune", document).get<boolean>("enable") !== true) {
    return `Off for ${document.languageId}; set attune.enable to turn it on.`;
  }
  const pattern = excludes(document).find((glob) => isMatch(document, glob));
  return pattern === undefined ? undefined : `Off for this file: attune.exclude holds “${pattern}”.`;
}

/** Turns completions on or off for the workspace, or for one language in it. */
export async function setEnabled(enable: boolean, languageId?: string): Promise<void> {
  const scope = languageId === undefined ? undefined : { languageId };
  await workspace
    .getConfiguration("attune", scope)
    .update("enable", enable, settingsTarget(), languageId !== undefined);
}

/** Turns completions on or off for one file. */
export async function setFileEnabled(document: TextDocument, enable: boolean): Promise<void> {
  const present = excludes(document);
  const changed = enable
    ? present.filter((glob) => !isMatch(document, glob))
    : [...present, workspace.asRelativePath(document.uri, false)];
  await workspace.getConfiguration("attune", document).update("exclude", changed, settingsTarget());
}

/** Where a choice of the user is kept: with the workspace, if there is one. */
export function settingsTarget(): ConfigurationTarget {
  return workspaceFolder() === undefined ? ConfigurationTarget.Global : ConfigurationTarget.Workspace;
}

function excludes(document: TextDocument): string[] {
  return workspace.getConfiguration("attune", document).get<string[]>("exclude") ?? [];
}

function isMatch(document: TextDocument, glob: string): boolean {
  const folder = workspace.getWorkspaceFolder(document.uri);
  return languages.match({ pattern: folder === undefined ? glob : new RelativePattern(folder, glob) }, document) > 0;
}
