/** A lock between processes: a file with the owner's process id. Knows nothing of VS Code. */

import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";

const POLL_MS = 1_000;
const MAX_SILENT_POLLS = 5;

/**
 * Runs `work` while no other process holds the lock file; calls `onWait` at every poll before that. A stale lock is
 * taken over: no process has its id, or its owner has stopped touching the file. The second is needed because ids begin
 * anew in a container that is started again.
 */
export async function withLock<T>(file: string, onWait: () => void, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  let touched: number | undefined;
  let silentPolls = 0;
  while (!(await writeFile(file, String(process.pid), { flag: "wx" }).then(() => true, falseIfExists))) {
    signal.throwIfAborted();
    const owner = Number(await readFile(file, "utf8").catch(() => "0"));
    const before = touched;
    touched = await stat(file).then(({ mtimeMs }) => mtimeMs, () => undefined);
    silentPolls = touched === before ? silentPolls + 1 : 0;
    if (!isAlive(owner) || silentPolls >= MAX_SILENT_POLLS) {
      await rm(file, { force: true });
      continue;
    }
    onWait();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const touching = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), POLL_MS);
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await rm(file, { force: true });
  }
}

function falseIfExists(error: NodeJS.ErrnoException): false {
  if (error.code !== "EEXIST") {
    throw error;
  }
  return false;
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
