/** The commands of the palette. */

import { rm } from "node:fs/promises";
import { commands, type Disposable, type LogOutputChannel, window } from "vscode";
import type { AcceptNext } from "./acceptNext";
import { chooseModel } from "./chooseModel";
import { explain } from "./explain";
import { chooseSnooze, showMenu, toggle } from "./menu";
import type { CommandContext } from "./process";
import { publishPrompt } from "./publishPrompt";
import { pullPrompt } from "./pullPrompt";
import type { Server } from "./server";
import { workspaceFolder } from "./settings";
import type { Snooze } from "./snooze";
import { showStatistics } from "./statistics";
import { tune } from "./tune";
import { usePrompt } from "./usePrompt";

/** What the commands act on. `context` finds the interpreter, and may install it. */
export interface Parts {
  readonly server: Server;
  readonly snooze: Snooze;
  readonly acceptNext: AcceptNext;
  readonly log: LogOutputChannel;
  readonly context: () => Promise<CommandContext>;
  /** The folder of the extension's private environment. */
  readonly environmentFolder: string;
}

/** Registers all commands; an error of one appears in the log and as a warning. */
export function registerCommands(parts: Parts): Disposable[] {
  return Object.entries(handlers(parts)).map(([name, handler]) =>
    commands.registerCommand(`attune.${name}`, async () => {
      try {
        await handler();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        parts.log.error(`${name}: ${message}`);
        void window.showWarningMessage(`Attune: ${message}`);
      }
    }),
  );
}

function handlers({ server, snooze, acceptNext, log, context, environmentFolder }: Parts): Record<string, () => unknown> {
  return {
    acceptNextWord: () => acceptNext.run("Word"),
    acceptNextLine: () => acceptNext.run("Line"),
    restart: () => server.restart(),
    showLog: () => log.show(),
    showMenu,
    showStatistics: () => showStatistics(server),
    toggle,
    snooze: () => chooseSnooze(snooze),
    tune: () => tuneWorkspace(context, false),
    refreshPrompt: () => tuneWorkspace(context, true),
    explain: async () => {
      const editor = window.activeTextEditor;
      await (editor === undefined ? window.showWarningMessage("Attune: open a file first.") : explain(await context(), editor, server));
    },
    usePrompt,
    chooseModel: async () => chooseModel(await context()),
    pullPrompt: async () => pullPrompt(await context()),
    publishPrompt: async () => publishPrompt(await context()),
    reinstall: async () => {
      await server.stop();
      await rm(environmentFolder, { recursive: true, force: true });
      await server.restart();
    },
  };
}

async function tuneWorkspace(context: () => Promise<CommandContext>, refresh: boolean): Promise<void> {
  const folder = workspaceFolder();
  if (folder === undefined) {
    void window.showWarningMessage("Attune: open the folder of a repository first.");
    return;
  }
  await tune(await context(), folder, refresh);
}
