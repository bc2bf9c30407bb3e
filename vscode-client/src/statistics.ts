/** “Show Statistics”, and the question what to do with a prompt that does not help this user. */

import { ViewColumn, window } from "vscode";
import { statisticsPage } from "./pages/statisticsPage";
import { promptName } from "./protocol";
import type { Server } from "./server";
import { NO_PROMPT, setPromptFile } from "./settings";

export async function showStatistics(server: Server): Promise<void> {
  const statistics = await server.statistics();
  if (statistics === undefined) {
    void window.showWarningMessage("Attune: the server is not running; “Attune: Show Log” says why.");
    return;
  }
  const panel = window.createWebviewPanel("attune.statistics", "Attune: Statistics", ViewColumn.Active);
  panel.webview.html = statisticsPage(statistics);
}

/** Asks whether to keep a prompt that the user's own typing shows no gain from. */
export async function offerToTurnPromptOff(prompt: string, server: Server): Promise<void> {
  const [turnOff, show] = ["Turn It Off", "Show Statistics"];
  const question = `Attune: your typing shows no gain from the prompt “${promptName(prompt)}”. Complete without it from now on?`;
  const choice = await window.showInformationMessage(question, turnOff, show, "Keep It");
  if (choice === turnOff) {
    await setPromptFile(NO_PROMPT);
  } else if (choice === show) {
    await showStatistics(server);
  }
}
