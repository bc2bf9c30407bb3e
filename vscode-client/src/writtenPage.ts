/** Pages that a sub-command of attune writes, shown as web views. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { ProgressLocation, ViewColumn, window } from "vscode";
import { type Place, runAttune } from "./process";

/** Runs the command that writes `page`, and shows it; what went wrong as a sentence, if anything did. */
export async function showWrittenPage(place: Place, title: string, command: (page: string) => string[]): Promise<string | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), "attune-page-"));
  const page = path.join(folder, "page.html");
  try {
    const progress = { location: ProgressLocation.Window, title: `Attune: ${title}` };
    const ran = await window.withProgress(progress, () => runAttune(place, command(page)));
    const html = await readFile(page, "utf8").catch(() => undefined);
    if (html === undefined) {
      return ran.lastLine.replace(/^attune: /, "") || `attune ended with ${ran.code}.`;
    }
    const panel = window.createWebviewPanel("attune.page", `Attune: ${title}`, ViewColumn.Active);
    panel.webview.html = html;
    return undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
