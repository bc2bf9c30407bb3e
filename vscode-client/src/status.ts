/** The status bar item: an icon and a name to see, the whole sentence as tooltip and for a screen reader. */

import { type Disposable, StatusBarAlignment, ThemeColor, window } from "vscode";
import type { Status } from "./protocol";

const ICONS: Record<Status["kind"], string> = {
  Normal: "$(sparkle)",
  Warning: "$(warning)",
  Error: "$(error)",
  Inactive: "$(circle-slash)",
};

export class StatusBar implements Disposable {
  private readonly item = window.createStatusBarItem("status", StatusBarAlignment.Right);

  constructor() {
    this.item.name = "Attune";
    this.item.command = "attune.showLog";
    this.item.show();
  }

  show(status: Status): void {
    this.item.text = `${status.busy ? "$(loading~spin)" : ICONS[status.kind]} Attune`;
    this.item.tooltip = status.message;
    this.item.accessibilityInformation = { label: `Attune: ${status.message}`, role: "button" };
    this.item.backgroundColor = background(status.kind);
  }

  dispose(): void {
    this.item.dispose();
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
