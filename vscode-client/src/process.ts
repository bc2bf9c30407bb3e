/** Runs a sub-command of attune as a process of its own. */

import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import { createInterface } from "node:readline";
import type { CommandResult } from "./commandOutcome";
import { attuneArguments } from "./serverCommand";

/** What a command runs in: the interpreter, the working directory and the environment variables. */
export interface CommandContext {
  readonly python: string;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface RunOptions {
  /** Called with each line of stderr. */
  readonly onLine?: (line: string) => void;
  /** Stops the command as Ctrl-C does, so that it can keep what is worth keeping. */
  readonly signal?: AbortSignal;
  /** No user waits for it: it gets one thread and the lowest priority. */
  readonly background?: boolean;
}

export async function runAttune(
  context: CommandContext,
  args: string[],
  { onLine, signal, background = false }: RunOptions = {},
): Promise<CommandResult> {
  const env = background ? { ...context.env, OMP_NUM_THREADS: "1" } : context.env;
  const child = spawn(context.python, attuneArguments(...args), { cwd: context.cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  if (background && child.pid !== undefined) {
    setPriority(child.pid, constants.priority.PRIORITY_LOW);
  }
  const interrupt = () => child.kill("SIGINT");
  signal?.addEventListener("abort", interrupt, { once: true });
  let stdout = "";
  let lastLine = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    lastLine = line;
    onLine?.(line);
  });
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { exitCode, stdout, lastLine };
  } finally {
    signal?.removeEventListener("abort", interrupt);
  }
}
