/** How long to wait before a server that crashed is started again. Knows nothing of VS Code. */

const FIRST_MS = 500;
const LONGEST_MS = 60_000;
const STEADY_MS = 120_000;
const MAX_CRASHES = 8;

export class Backoff {
  private crashes = 0;
  private startedAt = 0;

  constructor(private readonly now: () => number = Date.now) {}

  /** A server has just been started. */
  started(): void {
    this.startedAt = this.now();
  }

  /** The wait in milliseconds after one more crash; undefined: it crashes again and again, give up. */
  next(): number | undefined {
    if (this.now() - this.startedAt >= STEADY_MS) {
      this.crashes = 0;
    }
    this.crashes += 1;
    return this.crashes > MAX_CRASHES ? undefined : Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.crashes - 1));
  }

  /** The user starts it: what was before does not count. */
  reset(): void {
    this.crashes = 0;
  }
}
