/** The private Python environment that the server runs in, created from the wheel that the extension carries. */

import { execFile, spawn } from "node:child_process";
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { findBasePython } from "./basePython";
import { EnvironmentError } from "./environmentError";
import { withLock } from "./fileLock";

export interface Bundle {
  /** The extension's version, which is the wheel's too. */
  readonly version: string;
  /** The folder with the wheel and constraints.txt. */
  readonly folder: string;
}

export interface Installation {
  readonly bundle: Bundle;
  /** The environment's own folder; this module may delete everything in it. */
  readonly folder: string;
  /** Install from the wheels of this folder alone, without a network; null: from the package index. */
  readonly wheelFolder: string | null;
}

/** Called with each line of progress. */
export type Report = (line: string) => void;

const MARKER = "attune-installed.json";
const CHECK_TIMEOUT_MS = 30_000;
const LAST_LINES = 3;

/** The interpreter of the finished environment of this version; undefined if there is none. */
export async function installedPython({ folder, bundle }: Installation): Promise<string | undefined> {
  try {
    const marker = JSON.parse(await readFile(path.join(folder, MARKER), "utf8")) as { version?: unknown };
    const python = pythonIn(folder);
    await access(python);
    return marker.version === bundle.version ? python : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Creates the environment and returns its interpreter.
 *
 * An environment that was not finished is made anew; pip and uv cache what they have downloaded whole, so
 * that the next attempt does not start from nothing. Two windows do not install at once: the second waits for the first.
 */
export async function install(installation: Installation, report: Report, signal: AbortSignal): Promise<string> {
  await mkdir(path.dirname(installation.folder), { recursive: true });
  return withLock(`${installation.folder}.lock`, () => report("Another window is installing Attune"), signal, async () => {
    const finished = await installedPython(installation);
    return finished ?? create(installation, report, signal);
  });
}

async function create({ bundle, folder, wheelFolder }: Installation, report: Report, signal: AbortSignal): Promise<string> {
  const wheel = await findWheel(bundle);
  const run = (command: string, args: string[]) => runReporting(command, args, path.dirname(folder), report, signal);
  const python = pythonIn(folder);
  const source = wheelFolder === null ? [] : ["--no-index", "--find-links", wheelFolder];
  const packages = ["--constraint", path.join(bundle.folder, "constraints.txt"), ...source, wheel];
  await rm(folder, { recursive: true, force: true });
  if (await succeeds("uv", ["--version"])) {
    report("Creating a Python environment with uv");
    await run("uv", ["venv", "--no-config", "--python", ">=3.11", ...(wheelFolder === null ? [] : ["--offline"]), folder]);
    report("Installing Attune and what it needs");
    await run("uv", ["pip", "install", "--python", python, ...packages]);
  } else {
    const base = await findBasePython();
    report(`Creating a Python environment with ${base}`);
    await run(base, ["-I", "-m", "venv", folder]);
    report("Installing Attune and what it needs");
    await run(python, ["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", ...packages]);
  }
  if (!(await succeeds(python, ["-I", "-m", "attune", "--version"]))) {
    throw new EnvironmentError(`The new environment cannot run attune; delete ${folder} and run “Attune: Restart Server”.`);
  }
  const marker = path.join(folder, MARKER);
  await writeFile(`${marker}.new`, JSON.stringify({ version: bundle.version }));
  await rename(`${marker}.new`, marker);
  return python;
}

function pythonIn(folder: string): string {
  return process.platform === "win32" ? path.join(folder, "Scripts", "python.exe") : path.join(folder, "bin", "python");
}

async function findWheel({ folder, version }: Bundle): Promise<string> {
  const files = await readdir(folder).catch(() => []);
  const name = files.find((file) => file.startsWith(`attune-${version}-`) && file.endsWith(".whl"));
  if (name === undefined) {
    throw new EnvironmentError(
      "This copy of the extension carries no wheel of attune: build it with “npm run package”, or set attune.pythonPath " +
        "to an interpreter in which attune is installed.",
    );
  }
  return path.join(folder, name);
}

async function succeeds(command: string, args: string[]): Promise<boolean> {
  try {
    await promisify(execFile)(command, args, { timeout: CHECK_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

/** Runs a command to its end and reports each line that it prints. Throws `EnvironmentError` if it fails. */
async function runReporting(command: string, args: string[], cwd: string, report: Report, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], signal });
  const lastLines: string[] = [];
  let errorLine: string | undefined; // for the message alone: pip and uv mark it
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (untrimmed) => {
      const line = untrimmed.trim();
      if (line !== "") {
        lastLines.push(line);
        lastLines.splice(0, lastLines.length - LAST_LINES);
        errorLine ??= /^(error|×)\b/i.test(line) ? line : undefined;
        report(line);
      }
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  signal.throwIfAborted();
  if (code !== 0) {
    throw new EnvironmentError(
      `Attune could not be installed: ${errorLine ?? lastLines.join(" ")} “Attune: Restart Server” tries again and goes on where it stopped.`,
    );
  }
}
