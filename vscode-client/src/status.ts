/** The status bar item: an icon and a name; whole sentences in the tooltip and for screen readers. */

import { type Disposable, StatusBarAlignment, ThemeColor, window } from "vscode";
import { type Drift, driftSentence } from "./drift";
import { promptName, type Status } from "./protocol";
import { isCompleted, offReason } from "./settings";
import type { Snooze } from "./snooze";

const ICONS: Record<Status["kind"], string> = {
  Normal: "$(sparkle)",
  Warning: "$(warning)",
  Error: "$(error)",
  Inactive: "$(circle-slash)",
};
const DRIFTED = "$(history)";
const MAX_NAME = 24;

export class StatusBar implements Disposable {
  private readonly item = window.createStatusBarItem("status", StatusBarAlignment.Right);
  private readonly subscriptions: Disposable[];
  private status: Status = { kind: "Normal", busy: true, message: "Starting." };
  private emptyReason: string | null = null;
  private drift: { readonly prompt: string; readonly sentence: string } | undefined;

  constructor(private readonly snooze: Snooze) {
    this.item.name = "Attune";
    this.item.command = "attune.showMenu";
    this.subscriptions = [
      this.item,
      snooze.onDidChange(() => this.update()),
      window.onDidChangeActiveTextEditor(() => this.showEmptyReason(null)),
    ];
    this.update();
    this.item.show();
  }

  show(status: Status): void {
    this.status = status;
    this.update();
  }

  /** Why there is no suggestion at the cursor, in the server's words; null: there is one. */
  showEmptyReason(message: string | null): void {
    this.emptyReason = message;
    this.update();
  }

  /** How far the repository has moved away from a prompt; null: unknown. */
  showDrift(prompt: string, drift: Drift | null): void {
    this.drift = drift?.drifted ? { prompt, sentence: driftSentence(drift) } : undefined;
    this.update();
  }

  /** Shows the status for the editor in front. */
  update(): void {
    const { kind, busy, message, prompt, model } = this.statusHere();
    const isReady = kind === "Normal" && !busy;
    const drift = isReady && this.drift?.prompt === prompt ? this.drift : undefined;
    const icon = busy ? "$(loading~spin)" : drift === undefined ? ICONS[kind] : DRIFTED;
    const name = prompt ? `: ${promptName(prompt).slice(0, MAX_NAME)}` : "";
    const empty = isReady && this.emptyReason !== null ? `Silent here: ${this.emptyReason}.` : undefined;
    const answers = model ? `Model: ${model}.` : undefined;
    const sentences = [message, answers, drift?.sentence, empty].filter((sentence) => sentence !== undefined).join(" ");
    this.item.text = `${icon} Attune${name}${drift === undefined ? "" : " (drifted)"}`;
    this.item.tooltip = sentences;
    this.item.accessibilityInformation = { label: `Attune: ${sentences}`, role: "button" };
    this.item.backgroundColor = background(kind);
  }

  dispose(): void {
    for (const subscription of this.subscriptions) {
      subscription.dispose();
    }
  }

  /** The server's status, unless completions are off for the editor in front. */
  private statusHere(): Status {
    const document = window.activeTextEditor?.document;
    if (this.status.kind === "Error" || this.status.kind === "Inactive" || this.status.busy) {
      return this.status;
    }
    const inactive = (message: string): Status => ({ kind: "Inactive", busy: false, message });
    if (this.snooze.end !== undefined) {
      return inactive(`Snoozing until ${this.snooze.end.toLocaleTimeString()}.`);
    }
    const off = document !== undefined && isCompleted(document) ? offReason(document) : undefined;
    return off === undefined ? this.status : inactive(off);
  }
}

function background(kind: Status["kind"]): ThemeColor | undefined {
  switch (kind) {
    case "Error":
      return new ThemeColor("statusBarItem.errorBackground");
    case "Warning":
      return new ThemeColor("statusBarItem.warningBackground");
    default:
      return undefined;
  }
}
