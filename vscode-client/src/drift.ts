/** How far the repository has moved away from its prompt: measured rarely, by a process of its own. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const DAY_MS = 24 * 3600_000;
const AFTER_COMMIT_MS = 3600_000;
const KEY = "drift";

/** What of the result of `attune status --json` is used; gains are shares of bits saved, null where none can be measured. */
export interface Drift {
  /** The hash of the prompt file that was measured. */
  readonly sha256: string;
  readonly drifted: boolean;
  readonly gain: number | null;
  readonly proven_gain: number | null;
}

/** The latest measurement of a prompt; `drift` is null where it failed. */
interface Measurement {
  readonly head: string | null;
  readonly at: number;
  readonly drift: Drift | null;
}

/** Survives the window, as VS Code's Memento does. */
export interface Memory {
  get<T>(key: string): T | undefined;
  update(key: string, value: unknown): PromiseLike<void>;
}

/** Measures a prompt that it has not measured yet; again after a day, and an hour or more after the last time if HEAD has moved. */
export class DriftMonitor {
  private measuring = false;

  constructor(
    private readonly measure: () => Promise<Drift | null>,
    private readonly head: () => Promise<string | null>,
    private readonly memory: Memory,
    private readonly show: (prompt: string, drift: Drift | null) => void,
    private readonly now: () => number = Date.now,
  ) {}

  /** Shows the latest measurement of the prompt that serves, and measures it again if that is due and none is running. */
  async check(prompt: string): Promise<void> {
    if (this.measuring) {
      return;
    }
    this.measuring = true;
    try {
      const head = await this.head();
      const cached = this.memory.get<Record<string, Measurement>>(KEY) ?? {};
      const last = cached[prompt];
      if (last !== undefined) {
        this.show(prompt, last.drift);
        const age = this.now() - last.at;
        if (age >= 0 && age < (last.head === head ? DAY_MS : AFTER_COMMIT_MS)) {
          return;
        }
      }
      const measured = await this.measure();
      const drift = measured !== null && belongsTo(measured, prompt) ? measured : null;
      const recent = Object.entries(cached).filter(([, { at }]) => this.now() - at < DAY_MS);
      await this.memory.update(KEY, { ...Object.fromEntries(recent), [prompt]: { head, at: this.now(), drift } });
      this.show(prompt, drift);
    } finally {
      this.measuring = false;
    }
  }
}

/** Whether this prompt was measured; it is written as its name, an @ and the first digits of its hash. */
function belongsTo({ sha256 }: Drift, prompt: string): boolean {
  return sha256.startsWith(prompt.slice(prompt.lastIndexOf("@") + 1));
}

/** The commit that is checked out; null outside of git. */
export async function headOf(folder: string): Promise<string | null> {
  const commit = promisify(execFile)("git", ["-C", folder, "rev-parse", "--verify", "HEAD"]);
  return commit.then(({ stdout }) => stdout.trim(), () => null);
}

/** What to say behind the status of a prompt that helps less than it did. */
export function driftSentence({ gain, proven_gain }: Drift): string {
  const share = (value: number | null) => (value === null ? "an unknown share" : `${(100 * value).toFixed(1)} %`);
  return (
    `Drifted: on code that changed since it was tuned it saves ${share(gain)} of the bits, and ${share(proven_gain)} when it was; ` +
    "run “Attune: Refresh the Prompt”."
  );
}
