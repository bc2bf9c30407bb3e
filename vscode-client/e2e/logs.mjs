// What VS Code and the extension have written into the logs of a run.

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

const LOG_LINES = 30;

/** The last lines of the extension's log. */
export async function readLog(run, lines = LOG_LINES) {
  const files = await readdir(path.join(run, "data/logs"), { recursive: true }).catch(() => []);
  const file = files.find((name) => path.basename(name) === "Attune.log");
  if (file === undefined) return [];
  const log = await readFile(path.join(run, "data/logs", file), "utf8");
  return log.trimEnd().split("\n").slice(-lines);
}

/** What the editor's logs call an error of the extension, wherever it is written. */
export async function readErrors(run, { cache }) {
  const files = await readdir(path.join(run, "data/logs"), { recursive: true }).catch(() => []);
  const logs = files.filter((file) => file.endsWith(".log"));
  const texts = await Promise.all(logs.map((file) => readFile(path.join(run, "data/logs", file), "utf8")));
  const isError = (line) => /\[error\]|\bERROR\b|Traceback/.test(line) && /attune/i.test(line);
  return texts.flatMap((text, index) =>
    // Where this run and VS Code lie does not name the extension.
    text.replaceAll(run, "").replaceAll(cache, "").split("\n").filter((line) => isError(line) || (logs[index].endsWith("Attune.log") && /ERROR|Traceback/.test(line))),
  );
}
