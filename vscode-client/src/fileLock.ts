/** A lock between processes: a file with the owner's process id. Knows nothing of VS Code. */

import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

const POLL_MS = 1_000;
const RETRY_MS = 10;
const MAX_SILENT_POLLS = 5;

/** What a lock file says at one moment. */
interface Sighting {
  readonly owner: string;
  readonly touched: number;
}

/**
 * Runs `work` while no other process holds the lock file; calls `onWait` at every poll before that. A stale lock is
 * taken over: no process has its id, or its owner has stopped touching the file. The second is needed because ids begin
 * anew in a container that is started again.
 */
export async function withLock<T>(file: string, onWait: () => void, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  let touched: number | undefined;
  let silentPolls = 0;
  while (!(await create(file))) {
    signal.throwIfAborted();
    const seen = await look(file);
    if (seen === undefined) {
      continue; // released since
    }
    silentPolls = seen.touched === touched ? silentPolls + 1 : 0;
    touched = seen.touched;
    if (isDead(seen.owner) || silentPolls >= MAX_SILENT_POLLS) {
      await remove(file, seen);
      await pause(RETRY_MS, undefined, { signal });
      continue;
    }
    onWait();
    await pause(POLL_MS, undefined, { signal });
  }
  const touching = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), POLL_MS);
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await rm(file, { force: true });
  }
}

async function look(file: string): Promise<Sighting | undefined> {
  try {
    const { mtimeMs } = await stat(file);
    return { owner: await readFile(file, "utf8"), touched: mtimeMs };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw error;
    }
    return undefined;
  }
}

/**
 * Removes a stale lock if it still is what was seen. One process at a time may do that, so that none removes the lock
 * that another has taken since. Who finds one at it comes back later; what a killed one leaves is removed in time.
 */
async function remove(file: string, stale: Sighting): Promise<void> {
  const removing = `${file}.removing`;
  if (!(await create(removing))) {
    const begun = await look(removing);
    if (begun !== undefined && Date.now() - begun.touched > MAX_SILENT_POLLS * POLL_MS) {
      await rm(removing, { force: true });
    }
    return;
  }
  try {
    const present = await look(file);
    if (present?.owner === stale.owner && present.touched === stale.touched) {
      await rm(file, { force: true });
    }
  } finally {
    await rm(removing, { force: true });
  }
}

/** Creates the file with this process's id in it; false if it exists. */
async function create(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
      throw error;
    }
    return false;
  }
}

/** Whether no process has this id. An owner that has created the file writes its id a moment later: it lives. */
function isDead(owner: string): boolean {
  if (owner === "") {
    return false;
  }
  const pid = Number(owner);
  try {
    return !(pid > 0 && process.kill(pid, 0));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EPERM";
  }
}
