/** What a sub-command of attune with `--json` printed: its result or an error. Knows nothing of VS Code. */

import { type CommandError, isCommandError } from "./errors";

/** What is left of a process: its exit code, all of stdout, and the last line of stderr. */
export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly lastLine: string;
}

export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: CommandError };

/** Outcome of a command whose result has the shape `T`; output that is no JSON object is an internal error. */
export function outcomeOf<T = object>({ exitCode, stdout, lastLine }: CommandResult): Outcome<T> {
  const value = parseJsonObject(stdout);
  if (value === undefined) {
    return { ok: false, error: { code: "internal", message: lastLine || `attune ended with exit code ${exitCode}.` } };
  }
  if (!("error" in value)) {
    return { ok: true, value: value as T };
  }
  const { error } = value;
  return { ok: false, error: isCommandError(error) ? error : { code: "internal", message: JSON.stringify(error) } };
}

/** The object that `text` holds as JSON; undefined if it holds something else. */
export function parseJsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
