/** Wires the commands, the settings and the status bar to the server. */

import { rm } from "node:fs/promises";
import * as path from "node:path";
import {
  commands,
  type ExtensionContext,
  type LogOutputChannel,
  ProgressLocation,
  type QuickPickItem,
  ViewColumn,
  window,
  workspace,
} from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { AcceptNext } from "./acceptNext";
import { DriftWatch, headOf, parseDrift } from "./drift";
import type { Installation } from "./environment";
import { explain } from "./explain";
import { statisticsPage } from "./pages";
import { type Place, runAttune } from "./process";
import { promptName } from "./protocol";
import { publishPrompt, pullPrompt, setPrompt, usePrompt } from "./promptFiles";
import { environment, Server } from "./server";
import { findPython, type ShowInstallation } from "./serverCommand";
import { isCompleted, NO_PROMPT, offReason, readSettings, setEnabled, setFileEnabled, type Settings, workspaceFolder } from "./settings";
import { Snooze } from "./snooze";
import { StatusBar } from "./status";
import { chosenFile, tune } from "./tune";

// A change of these takes effect without a new server.
const LIVE_SETTINGS = ["attune.enable", "attune.exclude", "attune.tuneMinutes", "attune.trace"];
const SNOOZES_MIN = [5, 15, 60, 240];
const LOOK_FOR_DRIFT_MS = 600_000;

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel("Attune", { log: true });
  const snooze = new Snooze();
  const statusBar = new StatusBar(snooze);
  const storage = context.globalStorageUri.fsPath;
  const neutral = path.join(storage, "run");
  const bundle = { version: context.extension.packageJSON.version as string, folder: path.join(context.extensionPath, "bundled") };
  const installation = ({ wheelFolder }: Settings): Installation => ({ bundle, folder: path.join(storage, "environment"), wheelFolder });
  const python = (settings: Settings) =>
    findPython(settings.pythonPath, neutral, installation(settings), showInstallation(log));
  const middleware: Middleware = {
    // What is off costs nothing: no request leaves the editor.
    provideInlineCompletionItems: async (document, position, completionContext, token, next) => {
      if (snooze.end !== undefined || offReason(document) !== undefined) {
        return [];
      }
      const found = await next(document, position, completionContext, token);
      if (!token.isCancellationRequested) {
        acceptNext.offer(document, Array.isArray(found) ? found : (found?.items ?? []));
      }
      return found;
    },
  };
  const acceptNext = new AcceptNext((item, length) => server?.partiallyAccepted(item, length));
  let serving: string | null = null;
  const started = new Server(neutral, python, middleware, log, {
    status: (status) => {
      statusBar.show(status);
      serving = status.busy ? null : (status.prompt ?? null);
      lookForDrift();
    },
    emptyReason: (message) => statusBar.showSilence(message),
    promptHasNoGain: (prompt) => void offerRollback(prompt, () => showStatistics(started)),
  });
  server = started;
  let enabled = readSettings().enable;

  const place = async (): Promise<Place> => {
    const settings = readSettings();
    return { python: await python(settings), cwd: neutral, env: environment(settings) };
  };
  const closing = new AbortController();
  const drift = new DriftWatch(
    async () => {
      const chosen = chosenFile();
      const folder = workspaceFolder() ?? "";
      const open = window.activeTextEditor?.document;
      // Of another workspace folder, or no file: the repository's own prompt.
      const isHere = open?.uri.scheme === "file" && !path.relative(folder, open.uri.fsPath).startsWith("..");
      const which = chosen !== null ? ["--prompt", chosen] : isHere ? ["--for", open.uri.fsPath] : [];
      const ran = await runAttune(await place(), ["status", folder, "--json", ...which], {
        background: true,
        signal: closing.signal,
      });
      const found = parseDrift(ran.stdout);
      log.info(found === null ? `Drift is unknown: ${ran.lastLine}` : `Drifted: ${found.drifted}`);
      return found;
    },
    async () => headOf(workspaceFolder() ?? ""),
    context.workspaceState,
    (prompt, found) => statusBar.showDrift(prompt, found),
  );
  const lookForDrift = (): void => {
    // Nothing of an untrusted workspace is run, git's configuration included; and a model of the user's own may
    // be too large to be loaded a second time.
    if (serving !== null && workspace.isTrusted && workspaceFolder() !== undefined && readSettings().model === null) {
      drift.look(serving).catch((error) => log.warn(`Drift is unknown: ${error}`));
    }
  };
  const looking = setInterval(lookForDrift, LOOK_FOR_DRIFT_MS);
  const register = (name: string, run: () => unknown) =>
    commands.registerCommand(`attune.${name}`, async () => {
      try {
        await run();
      } catch (error) {
        log.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
        void window.showWarningMessage(`Attune: ${error instanceof Error ? error.message : String(error)}`);
      }
    });

  context.subscriptions.push(
    log,
    snooze,
    statusBar,
    { dispose: () => clearInterval(looking) },
    { dispose: () => closing.abort() },
    register("acceptNextWord", () => acceptNext.run("Word")),
    register("acceptNextLine", () => acceptNext.run("Line")),
    register("restart", () => started.restart()),
    register("showLog", () => log.show()),
    register("showMenu", showMenu),
    register("showStatistics", () => showStatistics(started)),
    register("toggle", toggle),
    register("snooze", () => chooseSnooze(snooze)),
    register("tune", () => tuneHere(place, false)),
    register("refreshPrompt", () => tuneHere(place, true)),
    register("explain", async () => {
      const editor = window.activeTextEditor;
      await (editor === undefined ? window.showWarningMessage("Attune: open a file first.") : explain(await place(), editor, started));
    }),
    register("usePrompt", usePrompt),
    register("pullPrompt", async () => pullPrompt(await place())),
    register("publishPrompt", async () => publishPrompt(await place())),
    register("reinstall", async () => {
      await started.stop();
      await rm(installation(readSettings()).folder, { recursive: true, force: true });
      await started.restart();
    }),
    window.onDidChangeActiveTextEditor((editor) => {
      if (editor !== undefined && isCompleted(editor.document) && offReason(editor.document) === undefined) {
        started.focused(editor.document);
      }
    }),
    workspace.onDidGrantWorkspaceTrust(() => started.restart()),
    workspace.onDidChangeConfiguration((event) => {
      if (!event.affectsConfiguration("attune")) {
        return;
      }
      const wasEnabled = enabled;
      enabled = readSettings().enable;
      statusBar.update();
      const keys = Object.keys((context.extension.packageJSON.contributes.configuration.properties ?? {}) as object);
      const needsRestart = keys.some((key) => !LIVE_SETTINGS.some((live) => key.startsWith(live)) && event.affectsConfiguration(key));
      if (needsRestart || enabled !== wasEnabled) {
        void started.restart();
      }
    }),
  );
  // The keys of other commands stay theirs until there is a server to tell.
  void commands.executeCommand("setContext", "attune.isActive", true);
  // Not awaited: VS Code has no reason to wait for the server.
  void started.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** A notice with what is being installed; its Cancel stops, and the next start goes on. */
function showInstallation(log: LogOutputChannel): ShowInstallation {
  return (work) =>
    window.withProgress(
      { location: ProgressLocation.Notification, title: "Attune: setting up, once", cancellable: true },
      async (progress, token) => {
        const stop = new AbortController();
        token.onCancellationRequested(() => stop.abort());
        try {
          return await work((line) => {
            log.info(line);
            progress.report({ message: line.slice(0, 80) });
          }, stop.signal);
        } catch (error) {
          throw token.isCancellationRequested
            ? new Error("Setting up was stopped; “Attune: Restart Server” goes on with it.")
            : error;
        }
      },
    );
}

async function tuneHere(place: () => Promise<Place>, refresh: boolean): Promise<void> {
  const folder = workspaceFolder();
  if (folder === undefined) {
    void window.showWarningMessage("Attune: open the folder of a repository first.");
    return;
  }
  await tune(await place(), folder, refresh);
}

async function showStatistics(from: Server): Promise<void> {
  const statistics = await from.statistics();
  if (statistics === undefined) {
    void window.showWarningMessage("Attune: the server is not running; “Attune: Show Log” says why.");
    return;
  }
  const panel = window.createWebviewPanel("attune.statistics", "Attune: Statistics", ViewColumn.Active);
  panel.webview.html = statisticsPage(statistics);
}

/** Asks once what to do with a prompt that the user's own typing shows no gain from. */
async function offerRollback(prompt: string, show: () => Promise<void>): Promise<void> {
  const [off, figures] = ["Turn It Off", "Show Statistics"];
  const question = `Attune: your typing shows no gain from the prompt “${promptName(prompt)}”. Complete without it from now on?`;
  const chosen = await window.showInformationMessage(question, off, figures, "Keep It");
  if (chosen === off) {
    await setPrompt(NO_PROMPT);
  } else if (chosen === figures) {
    await show();
  }
}

interface Choice extends QuickPickItem {
  readonly run: () => unknown;
}

async function choose(title: string, choices: Choice[]): Promise<void> {
  await (await window.showQuickPick(choices, { title: `Attune: ${title}` }))?.run();
}

/** Every command of the palette that the status bar item leads to. */
async function showMenu(): Promise<void> {
  const entry = (label: string, command: string): Choice => ({ label, run: () => commands.executeCommand(`attune.${command}`) });
  await choose("What to Do", [
    entry("$(circle-slash) Turn off or on here…", "toggle"),
    entry("$(clock) Snooze…", "snooze"),
    entry("$(question) Explain this completion", "explain"),
    entry("$(beaker) Tune a prompt on this repository", "tune"),
    entry("$(history) Refresh the prompt on what changed", "refreshPrompt"),
    entry("$(file) Use prompt…", "usePrompt"),
    entry("$(graph) Show statistics", "showStatistics"),
    entry("$(output) Show log", "showLog"),
    entry("$(debug-restart) Restart server", "restart"),
  ]);
}

async function toggle(): Promise<void> {
  const document = window.activeTextEditor?.document;
  const { enable } = readSettings();
  const verb = (on: boolean) => (on ? "Turn off" : "Turn on");
  const choices: Choice[] = [{ label: `${verb(enable)} in this workspace`, run: () => setEnabled(!enable) }];
  if (document !== undefined && isCompleted(document)) {
    const { languageId } = document;
    const isOn = workspace.getConfiguration("attune", { languageId }).get<boolean>("enable") === true;
    const fileIsOn = offReason(document) === undefined;
    choices.push(
      { label: `${verb(isOn)} for ${languageId} in this workspace`, run: () => setEnabled(!isOn, languageId) },
      { label: `${verb(fileIsOn)} for this file`, run: () => setFileEnabled(document, !fileIsOn) },
    );
  }
  await choose("Turn Off or On", choices);
}

async function chooseSnooze(snooze: Snooze): Promise<void> {
  if (snooze.end !== undefined) {
    snooze.stop();
    return;
  }
  const minutes = (number: number) => (number < 60 ? `${number} minutes` : `${number / 60} hours`.replace(/^1 hours/, "1 hour"));
  await choose("Snooze For", SNOOZES_MIN.map((number) => ({ label: minutes(number), run: () => snooze.start(number) })));
}
