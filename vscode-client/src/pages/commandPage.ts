/** Pages that a sub-command of attune writes, shown as web views. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { ProgressLocation, ViewColumn, window } from "vscode";
import { outcomeOf } from "../commandOutcome";
import type { CommandError } from "../errors";
import { type CommandContext, runAttune } from "../process";

/**
 * Runs the sub-command that writes a page and shows that page; what went wrong, if anything did. `argumentsFor` gives
 * the arguments for the file to write.
 */
export async function showCommandPage(
  context: CommandContext,
  title: string,
  argumentsFor: (page: string) => string[],
): Promise<CommandError | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), "attune-page-"));
  const page = path.join(folder, "page.html");
  try {
    const progress = { location: ProgressLocation.Window, title: `Attune: ${title}` };
    const result = await window.withProgress(progress, () => runAttune(context, [...argumentsFor(page), "--json"]));
    const outcome = outcomeOf(result);
    if (!outcome.ok) {
      return outcome.error;
    }
    const panel = window.createWebviewPanel("attune.page", `Attune: ${title}`, ViewColumn.Active);
    panel.webview.html = await readFile(page, "utf8");
    return undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
