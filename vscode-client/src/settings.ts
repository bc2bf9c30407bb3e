/** The user's settings, with paths resolved. Their defaults stand in package.json only. */

import * as path from "node:path";
import { workspace } from "vscode";

export interface Settings {
  readonly enable: boolean;
  /** A path, or the name of a command on the PATH; null: not set. */
  readonly pythonPath: string | null;
  /** An absolute path; null: the server chooses. */
  readonly promptFile: string | null;
}

export function readSettings(): Settings {
  const configuration = workspace.getConfiguration("attune");
  // package.json gives every setting a default, so none is undefined.
  const value = <T>(key: string): T => configuration.get<T>(key) as T;
  const pythonPath = value<string>("pythonPath").trim();
  const promptFile = value<string>("promptFile").trim();
  const isCommandName = !/[\\/]/.test(pythonPath);
  return {
    enable: value<boolean>("enable"),
    pythonPath: pythonPath === "" ? null : isCommandName ? pythonPath : resolveInWorkspace(pythonPath),
    promptFile: promptFile === "" ? null : resolveInWorkspace(promptFile),
  };
}

function resolveInWorkspace(file: string): string {
  const folder = workspace.workspaceFolders?.[0];
  return folder === undefined ? path.resolve(file) : path.resolve(folder.uri.fsPath, file);
}
