/** The user's settings, with paths resolved. package.json alone holds the defaults. */

import * as path from "node:path";
import { ConfigurationTarget, RelativePattern, type TextDocument, languages, workspace } from "vscode";
import { completedLanguages } from "./languages";
import { servingModel } from "./servingModel";

export interface Settings {
  /** Whether completions are on for any language. */
  readonly enable: boolean;
  /** A path, or the name of a command on the PATH; null: not set. */
  readonly pythonPath: string | null;
  readonly wheelFolder: string | null;
  /** The name of a model of `attune model list`, or an absolute path; null: what the repository or the user has chosen. */
  readonly model: string | null;
  /** An absolute path, or "none"; null: the server chooses. */
  readonly promptFile: string | null;
  readonly sureness: "eager" | "balanced" | "sure";
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
    model: modelSetting(value<string>("model").trim()),
    promptFile: value<string>("promptFile").trim() === NO_PROMPT ? NO_PROMPT : file("promptFile"),
    sureness: value<Settings["sureness"]>("sureness"),
    comparisonShare: value<number>("comparisonShare"),
    statistics: value<boolean>("statistics"),
    tuneMinutes: value<number>("tuneMinutes"),
    trusted: workspace.isTrusted,
  };
}

/** The prompt file that the user has chosen for this workspace; null: the repository's own, or none. */
export function chosenPromptFile(): string | null {
  const { promptFile } = readSettings();
  return promptFile === NO_PROMPT ? null : promptFile;
}

/** Chooses the prompt file; an empty string: the repository's own; `NO_PROMPT`: none. */
export async function setPromptFile(value: string): Promise<void> {
  await workspace.getConfiguration("attune").update("promptFile", value, settingsTarget());
}

/** Lets the choices of `attune model use` serve again. */
export async function clearModelSetting(): Promise<void> {
  const configuration = workspace.getConfiguration("attune");
  const values = configuration.inspect<string>("model");
  if (values?.workspaceValue !== undefined) {
    await configuration.update("model", undefined, ConfigurationTarget.Workspace);
  }
  if (values?.globalValue !== undefined) {
    await configuration.update("model", undefined, ConfigurationTarget.Global);
  }
}

/** A name has no separator; a path may start at the workspace folder. */
function modelSetting(text: string): string | null {
  return text === "" ? null : /[\\/]/.test(text) && !text.startsWith("~") ? resolveInWorkspace(text) : text;
}

export function workspaceFolder(): string | undefined {
  return workspace.workspaceFolders?.[0]?.uri.fsPath;
}

function resolveInWorkspace(file: string): string {
  return path.resolve(workspaceFolder() ?? "", file);
}

function isOnAnywhere(): boolean {
  const configuration = workspace.getConfiguration("attune");
  const configured = configuration.inspect("enable")?.languageIds ?? [];
  return configuration.get<boolean>("enable") === true || configured.some(isEnabledFor);
}

/** Whether completions are on for a language in this workspace. */
export function isEnabledFor(languageId: string): boolean {
  return workspace.getConfiguration("attune", { languageId }).get<boolean>("enable") === true;
}

/** Whether the model completes the document's language. */
export function isCompleted(document: TextDocument): boolean {
  return completedLanguages(servingModel() ?? readSettings().model).includes(document.languageId);
}

/** Why the settings turn completions off for a document, as a sentence; undefined if they do not. */
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

/** Where a choice of the user is stored: in the workspace, if there is one. */
function settingsTarget(): ConfigurationTarget {
  return workspaceFolder() === undefined ? ConfigurationTarget.Global : ConfigurationTarget.Workspace;
}

function excludes(document: TextDocument): string[] {
  return workspace.getConfiguration("attune", document).get<string[]>("exclude") ?? [];
}

function isMatch(document: TextDocument, glob: string): boolean {
  const folder = workspace.getWorkspaceFolder(document.uri);
  return languages.match({ pattern: folder === undefined ? glob : new RelativePattern(folder, glob) }, document) > 0;
}
