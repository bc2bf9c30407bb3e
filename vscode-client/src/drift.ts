/** How far the repository has moved away from its prompt: asked rarely, of a process of its own. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const DAY_MS = 24 * 3600_000;
const AFTER_COMMIT_MS = 3600_000;
const KEY = "drift";

/** What of `attune status --json` is told; gains are shares of bits saved, null where nothing can be measured. */
export interface Drift {
  /** The hash of the prompt file that was measured. */
  readonly sha256: string;
  readonly drifted: boolean;
  readonly gain: number | null;
  readonly proven_gain: number | null;
}

/** What was measured of a prompt last; `drift` is null where it could not be. */
interface Measured {
  readonly head: string | null;
  readonly at: number;
  readonly drift: Drift | null;
}

/** Survives the window, as VS Code's Memento does. */
export interface Memory {
  get<T>(key: string): T | undefined;
  update(key: string, value: unknown): PromiseLike<void>;
}

/** Measures a prompt anew when it is another one, after a day, and an hour or more after the last time if HEAD has moved. */
export class DriftWatch {
  private measuring = false;

  constructor(
    private readonly measure: () => Promise<Drift | null>,
    private readonly head: () => Promise<string | null>,
    private readonly memory: Memory,
    private readonly tell: (prompt: string, drift: Drift | null) => void,
    private readonly now: () => number = Date.now,
  ) {}

  /** Tells what is known of the prompt that serves, and measures it if that is due and nothing is being measured. */
  async look(prompt: string): Promise<void> {
    if (this.measuring) {
      return;
    }
    this.measuring = true;
    try {
      const head = await this.head();
      const known = this.memory.get<Record<string, Measured>>(KEY) ?? {};
      const last = known[prompt];
      if (last !== undefined) {
        this.tell(prompt, last.drift);
        const age = this.now() - last.at;
        if (age >= 0 && age < (last.head === head ? DAY_MS : AFTER_COMMIT_MS)) {
          return;
        }
      }
      const measured = await this.measure();
      const drift = measured !== null && isOf(measured, prompt) ? measured : null;
      const fresh = Object.entries(known).filter(([, { at }]) => this.now() - at < DAY_MS);
      await this.memory.update(KEY, { ...Object.fromEntries(fresh), [prompt]: { head, at: this.now(), drift } });
      this.tell(prompt, drift);
    } finally {
      this.measuring = false;
    }
  }
}

/** Whether it is this prompt that was measured, told as its name, an @ and the first digits of its hash. */
function isOf({ sha256 }: Drift, prompt: string): boolean {
  return sha256.startsWith(prompt.slice(prompt.lastIndexOf("@") + 1));
}

/** The commit that is checked out; null outside of git. */
export async function headOf(folder: string): Promise<string | null> {
  const asked = promisify(execFile)("git", ["-C", folder, "rev-parse", "--verify", "HEAD"]);
  return asked.then(({ stdout }) => stdout.trim(), () => null);
}

/** The answer of `attune status --json`; null if it is something else. */
export function parseDrift(stdout: string): Drift | null {
  try {
    const value = JSON.parse(stdout) as Drift;
    return typeof value.drifted === "boolean" ? value : null;
  } catch {
    return null;
  }
}

/** What to say behind the status of a prompt that helps less than it did. */
export function driftSentence({ gain, proven_gain }: Drift): string {
  const share = (value: number | null) => (value === null ? "an unknown share" : `${(100 * value).toFixed(1)} %`);
  return (
    `Drifted: on code that changed since it was tuned it saves ${share(gain)} of the bits, and ${share(proven_gain)} when it was; ` +
    "run “Attune: Refresh the Prompt”."
  );
}
