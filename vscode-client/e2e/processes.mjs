// The processes that a driver has started, and theirs.

import { readdir, readFile } from "node:fs/promises";

/** Parent and start time of every process, from /proc; the start time tells a process from a later one with its id. */
async function processes() {
  const all = new Map();
  for (const id of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const stat = await readFile(`/proc/${id}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined) continue;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    all.set(Number(id), { state: fields[0], parent: Number(fields[1]), started: fields[19] });
  }
  return all;
}

/** This process's descendants, as [id, start time]. */
export async function descendants() {
  const all = await processes();
  const isOurs = (id) => id === process.pid || (all.has(id) && isOurs(all.get(id).parent));
  return [...all].filter(([id]) => id !== process.pid && isOurs(id)).map(([id, { started }]) => [id, started]);
}

/** Kill a process that may end by itself at any moment. */
export function kill(id) {
  try {
    process.kill(id, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

export async function killRemaining(recorded) {
  const all = await processes();
  for (const [id, started] of recorded) {
    const now = all.get(id);
    if (now?.started === started && now.state !== "Z") kill(id);
  }
}
