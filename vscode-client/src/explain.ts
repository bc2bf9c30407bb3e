/** “Explain This Completion”: what the model is given at the cursor and why, as `attune why` writes it. */

import { type TextEditor, window } from "vscode";
import { showCommandPage } from "./pages/commandPage";
import type { CommandContext } from "./process";
import type { Server } from "./server";
import { readSettings } from "./settings";

/** The file is saved first, because `attune why` reads it from the disk. */
export async function explain(context: CommandContext, { document, selection }: TextEditor, server: Server): Promise<void> {
  const { line, character } = selection.active;
  if (document.isDirty && !(await document.save())) {
    return;
  }
  // Columns of attune count code points, those of VS Code UTF-16 units.
  const column = [...document.lineAt(line).text.slice(0, character)].length + 1;
  const position = `${document.uri.fsPath}:${line + 1}:${column}`;
  const latest = await server.latestResult(document);
  const served = latest === undefined ? [] : ["--served", latest];
  const { sureness } = readSettings();
  const error = await showCommandPage(context, "Why", (page) => ["why", position, "--html", page, "--sureness", sureness, ...served]);
  if (error !== undefined) {
    void window.showWarningMessage(`Attune: ${error.message}`);
  }
}
