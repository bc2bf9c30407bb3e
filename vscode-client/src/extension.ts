/** Connects the server, the status bar, the settings and the commands. */

import * as path from "node:path";
import { commands, type ConfigurationChangeEvent, type Disposable, type ExtensionContext, window, workspace } from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { AcceptNext } from "./acceptNext";
import { ClientFactory, environmentFor, type Listener } from "./client";
import { DriftSchedule } from "./driftSchedule";
import type { Installation } from "./environment";
import { installationNotice } from "./installationNotice";
import { registerCommands } from "./registerCommands";
import { Server } from "./server";
import { findPython } from "./serverCommand";
import { isCompleted, offReason, readSettings, type Settings } from "./settings";
import { setServingModel } from "./servingModel";
import { Snooze } from "./snooze";
import { offerToTurnPromptOff } from "./statistics";
import { StatusBar } from "./status";

// A change of these takes effect without a new server.
const LIVE_SETTINGS = ["attune.enable", "attune.exclude", "attune.tuneMinutes", "attune.trace"];

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Attune", { log: true });
  const snooze = new Snooze();
  const statusBar = new StatusBar(snooze);
  const storage = context.globalStorageUri.fsPath;
  const environmentFolder = path.join(storage, "environment");
  const neutralFolder = path.join(storage, "run"); // a working directory outside the workspace
  const bundle = { version: context.extension.packageJSON.version as string, folder: path.join(context.extensionPath, "bundled") };
  const python = (settings: Settings) => {
    const installation: Installation = { bundle, folder: environmentFolder, wheelFolder: settings.wheelFolder };
    return findPython(settings.pythonPath, neutralFolder, installation, installationNotice(log));
  };
  const commandContext = async () => {
    const settings = readSettings();
    return { python: await python(settings), cwd: neutralFolder, env: environmentFor(settings) };
  };
  const drift = new DriftSchedule(commandContext, context.workspaceState, (prompt, value) => statusBar.showDrift(prompt, value), log);
  const acceptNext = new AcceptNext((item, length) => server?.partiallyAccepted(item, length));
  const listener: Listener = {
    status: (status) => {
      setServingModel(status.model);
      statusBar.show(status);
      drift.update(status);
    },
    emptyReason: (message) => statusBar.showEmptyReason(message),
    promptHasNoGain: (prompt) => void offerToTurnPromptOff(prompt, started),
  };
  const clients = new ClientFactory(neutralFolder, middleware(snooze, acceptNext), log);
  const started = new Server(neutralFolder, python, clients, log, listener);
  server = started;
  context.subscriptions.push(
    log,
    snooze,
    statusBar,
    drift,
    ...registerCommands({ server: started, snooze, acceptNext, log, context: commandContext, environmentFolder }),
    ...followEditor(started, statusBar, settingNames(context)),
  );
  // Until then the keybindings of other extensions work as if this one were absent.
  void commands.executeCommand("setContext", "attune.isActive", true);
  // Not awaited: VS Code has no reason to wait for the server.
  void started.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** Where completions are off, no request leaves the editor. */
function middleware(snooze: Snooze, acceptNext: AcceptNext): Middleware {
  return {
    provideInlineCompletionItems: async (document, position, completionContext, token, next) => {
      if (snooze.end !== undefined || !isCompleted(document) || offReason(document) !== undefined) {
        return [];
      }
      const result = await next(document, position, completionContext, token);
      if (!token.isCancellationRequested) {
        acceptNext.setItems(document, Array.isArray(result) ? result : (result?.items ?? []));
      }
      return result;
    },
  };
}

/** Tells the server which document has the focus, and restarts it when trust or settings change. */
function followEditor(started: Server, statusBar: StatusBar, names: readonly string[]): Disposable[] {
  let enabled = readSettings().enable;
  const onSettings = (event: ConfigurationChangeEvent): void => {
    if (!event.affectsConfiguration("attune")) {
      return;
    }
    const wasEnabled = enabled;
    enabled = readSettings().enable;
    statusBar.update();
    const isLive = (name: string) => LIVE_SETTINGS.some((live) => name.startsWith(live));
    if (enabled !== wasEnabled || names.some((name) => !isLive(name) && event.affectsConfiguration(name))) {
      void started.restart();
    }
  };
  return [
    window.onDidChangeActiveTextEditor((editor) => {
      if (editor !== undefined && isCompleted(editor.document) && offReason(editor.document) === undefined) {
        started.focused(editor.document);
      }
    }),
    workspace.onDidGrantWorkspaceTrust(() => started.restart()),
    workspace.onDidChangeConfiguration(onSettings),
  ];
}

/** All settings that package.json declares. */
function settingNames(context: ExtensionContext): string[] {
  return Object.keys((context.extension.packageJSON.contributes.configuration.properties ?? {}) as object);
}
