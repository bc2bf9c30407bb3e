/** Wires the commands, the settings and the status bar to the server. */

import { commands, type ExtensionContext, window, workspace } from "vscode";
import { Server } from "./server";
import { StatusBar } from "./status";

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Attune", { log: true });
  const statusBar = new StatusBar();
  const started = new Server(context.globalStorageUri.fsPath, log, (status) => statusBar.show(status));
  server = started;
  context.subscriptions.push(
    log,
    statusBar,
    commands.registerCommand("attune.restart", () => started.restart()),
    commands.registerCommand("attune.showLog", () => log.show()),
    workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("attune")) {
        void started.restart();
      }
    }),
  );
  // Not awaited: VS Code has no reason to wait for the server.
  void started.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
