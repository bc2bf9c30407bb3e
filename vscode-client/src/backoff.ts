/** How long to wait before a crashed server is started again: twice as long each time. Knows nothing of VS Code. */

const FIRST_MS = 500;
const MAX_MS = 60_000;
const STABLE_MS = 120_000;
const MAX_CRASHES = 8;

export class Backoff {
  private crashes = 0;
  private startedAt = 0;

  constructor(private readonly now: () => number = Date.now) {}

  /** A server has just been started. */
  started(): void {
    this.startedAt = this.now();
  }

  /** The wait in milliseconds after one more crash; undefined after too many: give up. */
  next(): number | undefined {
    if (this.now() - this.startedAt >= STABLE_MS) {
      this.crashes = 0;
    }
    this.crashes += 1;
    return this.crashes > MAX_CRASHES ? undefined : Math.min(MAX_MS, FIRST_MS * 2 ** (this.crashes - 1));
  }

  /** The user starts the server: earlier crashes do not count. */
  reset(): void {
    this.crashes = 0;
  }
}
