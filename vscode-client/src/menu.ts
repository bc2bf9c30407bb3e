/** The menu of the status bar item, and the lists of “Turn Off or On Here…” and “Snooze…”. */

import { commands, type QuickPickItem, window } from "vscode";
import { isCompleted, isEnabledFor, offReason, readSettings, setEnabled, setFileEnabled } from "./settings";
import { servingModel } from "./servingModel";
import type { Snooze } from "./snooze";

const SNOOZE_MINUTES = [5, 15, 60, 240];

interface Choice extends QuickPickItem {
  readonly run: () => unknown;
}

/** Lets the user choose a command. */
export async function showMenu(): Promise<void> {
  const model = servingModel();
  const entry = (label: string, command: string): Choice => ({ label, run: () => commands.executeCommand(`attune.${command}`) });
  await choose("What to Do", [
    entry("$(circle-slash) Turn off or on here…", "toggle"),
    entry("$(clock) Snooze…", "snooze"),
    entry("$(question) Explain this completion", "explain"),
    entry("$(beaker) Tune a prompt on this repository", "tune"),
    entry("$(history) Refresh the prompt on what changed", "refreshPrompt"),
    entry("$(file) Use prompt…", "usePrompt"),
    entry(`$(server-process) Choose a model…${model === null ? "" : ` (now ${model})`}`, "chooseModel"),
    entry("$(graph) Show statistics", "showStatistics"),
    entry("$(output) Show log", "showLog"),
    entry("$(debug-restart) Restart server", "restart"),
  ]);
}

/** Turns completions off or on for the workspace, the language or the file in front. */
export async function toggle(): Promise<void> {
  const document = window.activeTextEditor?.document;
  const { enable } = readSettings();
  const verb = (isOn: boolean) => (isOn ? "Turn off" : "Turn on");
  const choices: Choice[] = [{ label: `${verb(enable)} in this workspace`, run: () => setEnabled(!enable) }];
  if (document !== undefined && isCompleted(document)) {
    const { languageId } = document;
    const languageIsOn = isEnabledFor(languageId);
    const fileIsOn = offReason(document) === undefined;
    choices.push(
      { label: `${verb(languageIsOn)} for ${languageId} in this workspace`, run: () => setEnabled(!languageIsOn, languageId) },
      { label: `${verb(fileIsOn)} for this file`, run: () => setFileEnabled(document, !fileIsOn) },
    );
  }
  await choose("Turn Off or On", choices);
}

/** Ends the snooze if there is one; else lets the user choose how long it takes. */
export async function chooseSnooze(snooze: Snooze): Promise<void> {
  if (snooze.end !== undefined) {
    snooze.stop();
    return;
  }
  const choices = SNOOZE_MINUTES.map((minutes) => ({ label: duration(minutes), run: () => snooze.start(minutes) }));
  await choose("Snooze For", choices);
}

function duration(minutes: number): string {
  const hours = minutes / 60;
  return minutes < 60 ? `${minutes} minutes` : hours === 1 ? "1 hour" : `${hours} hours`;
}

async function choose(title: string, choices: Choice[]): Promise<void> {
  await (await window.showQuickPick(choices, { title: `Attune: ${title}` }))?.run();
}
