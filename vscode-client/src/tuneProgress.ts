/** The lines of `attune tune --progress-json`. Knows nothing of VS Code. */

import { parseJsonObject } from "./commandOutcome";

/** `phase` is a code, `description` its words, `done` the share of it from 0 to 1, `gain` that on validation files. */
export interface TuneProgress {
  readonly phase: string;
  readonly description: string;
  readonly done: number;
  readonly gain: number | null;
}

/** Undefined for a line that is a sentence for people. */
export function parseProgress(line: string): TuneProgress | undefined {
  const { phase, description, done, gain } = parseJsonObject(line) ?? {};
  return typeof phase === "string" && typeof description === "string" && typeof done === "number"
    ? { phase, description, done, gain: typeof gain === "number" ? gain : null }
    : undefined;
}

/**
 * Where the progress bar stands, from 0 to 1. A bar of VS Code cannot go back, so only the longest phase moves it;
 * undefined in all others.
 */
export function barFraction({ phase, done }: TuneProgress): number | undefined {
  return phase === "train" ? done : undefined;
}

export function progressMessage({ description, done, gain }: TuneProgress): string {
  const saved = gain === null ? "" : `, ${(100 * gain).toFixed(1)} % bits saved`;
  return `${description}: ${Math.round(100 * done)} %${saved}`;
}
