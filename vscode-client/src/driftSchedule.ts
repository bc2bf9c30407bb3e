/** When the drift of the prompt that serves is measured, and of which file. */

import * as path from "node:path";
import { type Disposable, type LogOutputChannel, type Memento, window, workspace } from "vscode";
import { outcomeOf } from "./commandOutcome";
import { type Drift, DriftMonitor, headOf } from "./drift";
import { isShippedModel } from "./languages";
import { type CommandContext, runAttune } from "./process";
import type { Status } from "./protocol";
import { servingModel } from "./servingModel";
import { chosenPromptFile, workspaceFolder } from "./settings";

const CHECK_INTERVAL_MS = 600_000;

/** Checks when the server's status changes, and every ten minutes. */
export class DriftSchedule implements Disposable {
  private readonly controller = new AbortController();
  private readonly timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
  private readonly monitor: DriftMonitor;
  private serving: string | null = null;

  constructor(
    private readonly context: () => Promise<CommandContext>,
    memory: Memento,
    show: (prompt: string, drift: Drift | null) => void,
    private readonly log: LogOutputChannel,
  ) {
    this.monitor = new DriftMonitor(() => this.measure(), () => headOf(workspaceFolder() ?? ""), memory, show);
  }

  /** The server's status: which prompt serves now. */
  update({ busy, prompt }: Status): void {
    this.serving = busy ? null : (prompt ?? null);
    this.check();
  }

  dispose(): void {
    clearInterval(this.timer);
    this.controller.abort();
  }

  private check(): void {
    // Nothing of an untrusted workspace is run, git's configuration included; and a model of the user's own may
    // be too large to be loaded a second time.
    const isAllowed = workspace.isTrusted && workspaceFolder() !== undefined && isShippedModel(servingModel());
    if (this.serving !== null && isAllowed) {
      this.monitor.check(this.serving).catch((error) => this.log.warn(`Drift is unknown: ${error}`));
    }
  }

  private async measure(): Promise<Drift | null> {
    const folder = workspaceFolder() ?? "";
    const args = ["status", folder, "--json", ...promptOptions(folder)];
    const result = await runAttune(await this.context(), args, { background: true, signal: this.controller.signal });
    const outcome = outcomeOf<Drift>(result);
    this.log.info(outcome.ok ? `Drifted: ${outcome.value.drifted}` : `Drift is unknown: ${outcome.error.message}`);
    return outcome.ok ? outcome.value : null;
  }
}

/** The chosen prompt, or the one of the open file; the repository's own where that file lies elsewhere. */
function promptOptions(folder: string): string[] {
  const chosen = chosenPromptFile();
  if (chosen !== null) {
    return ["--prompt", chosen];
  }
  const open = window.activeTextEditor?.document.uri;
  const isInFolder = open?.scheme === "file" && !path.relative(folder, open.fsPath).startsWith("..");
  return isInFolder ? ["--for", open.fsPath] : [];
}
