/** No completions for a while, at the user's request. */

import { type Disposable, EventEmitter } from "vscode";

export class Snooze implements Disposable {
  private timer: NodeJS.Timeout | undefined;
  private until: Date | undefined;
  private readonly changed = new EventEmitter<void>();
  readonly onDidChange = this.changed.event;

  /** When the snooze ends; undefined while there is none. */
  get end(): Date | undefined {
    return this.until;
  }

  start(minutes: number): void {
    const milliseconds = minutes * 60_000;
    clearTimeout(this.timer);
    this.until = new Date(Date.now() + milliseconds);
    this.timer = setTimeout(() => this.stop(), milliseconds);
    this.changed.fire();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.until = undefined;
    this.changed.fire();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }
}
