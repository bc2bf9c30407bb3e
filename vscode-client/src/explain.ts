/** “Explain This Completion”: what the model is given at the cursor and why, as `attune why` writes it. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { ProgressLocation, type TextEditor, ViewColumn, window } from "vscode";
import { type Place, runAttune } from "./process";

/** The file is saved first, because `attune why` reads it from the disk. */
export async function explain(place: Place, editor: TextEditor): Promise<void> {
  const { document, selection } = editor;
  if (document.isDirty && !(await document.save())) {
    return;
  }
  const { line, character } = selection.active;
  // Columns of attune count code points, those of VS Code UTF-16 units.
  const column = [...document.lineAt(line).text.slice(0, character)].length + 1;
  const folder = await mkdtemp(path.join(tmpdir(), "attune-why-"));
  const page = path.join(folder, "why.html");
  try {
    const where = `${document.uri.fsPath}:${line + 1}:${column}`;
    const ran = await window.withProgress({ location: ProgressLocation.Window, title: "Attune: asking why" }, () =>
      runAttune(place, ["why", where, "--html", page]),
    );
    const html = await readFile(page, "utf8").catch(() => undefined);
    if (html === undefined) {
      const said = ran.lastLine.replace(/^attune: /, "") || `attune why ended with ${ran.code}.`;
      void window.showWarningMessage(`Attune: ${said}`);
      return;
    }
    const panel = window.createWebviewPanel("attune.why", "Attune: Why", ViewColumn.Beside);
    panel.webview.html = html;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
