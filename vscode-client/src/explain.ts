/** “Explain This Completion”: what the model is given at the cursor and why, as `attune why` writes it. */

import { type TextEditor, window } from "vscode";
import type { Place } from "./process";
import type { Server } from "./server";
import { showWrittenPage } from "./writtenPage";

/** The file is saved first, because `attune why` reads it from the disk. */
export async function explain(place: Place, { document, selection }: TextEditor, server: Server): Promise<void> {
  const { line, character } = selection.active;
  if (document.isDirty && !(await document.save())) {
    return;
  }
  // Columns of attune count code points, those of VS Code UTF-16 units.
  const column = [...document.lineAt(line).text.slice(0, character)].length + 1;
  const where = `${document.uri.fsPath}:${line + 1}:${column}`;
  const served = await server.latestResult(document);
  const told = served === undefined ? [] : ["--served", served];
  const problem = await showWrittenPage(place, "Why", (page) => ["why", where, "--html", page, ...told]);
  if (problem !== undefined) {
    void window.showWarningMessage(`Attune: ${problem}`);
  }
}
