/** Runs a sub-command of attune as a process of its own. */

import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import { createInterface } from "node:readline";
import { attune } from "./serverCommand";

/** What a command left: its exit code, and all of stdout and the last line of stderr. */
export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly lastLine: string;
}

export interface Place {
  readonly python: string;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface Options {
  /** Hears each line of stderr. */
  readonly onLine?: (line: string) => void;
  /** Asks the command to stop as Ctrl-C does, so that it can keep what is worth keeping. */
  readonly signal?: AbortSignal;
  /** Nobody waits for it: it gets one thread and what processor time others leave. */
  readonly background?: boolean;
}

export async function runAttune(place: Place, args: string[], { onLine, signal, background = false }: Options = {}): Promise<Ran> {
  const env = background ? { ...place.env, OMP_NUM_THREADS: "1" } : place.env;
  const child = spawn(place.python, attune(...args), { cwd: place.cwd, env, stdio: ["ignore", "pipe", "pipe"] });
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
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { code, stdout, lastLine };
  } finally {
    signal?.removeEventListener("abort", interrupt);
  }
}
