/** The private Python environment that the server runs in: found, or created from the wheel that the extension carries. */

import { execFile, spawn } from "node:child_process";
import { access, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** No environment can be had; the message says why and what to do. */
export class EnvironmentError extends Error {}

export interface Bundle {
  /** The extension's version, which is the wheel's too. */
  readonly version: string;
  /** The folder with the wheel and constraints.txt. */
  readonly folder: string;
}

export interface Installation {
  readonly bundle: Bundle;
  /** The environment's own folder; everything in it belongs to this module. */
  readonly folder: string;
  /** Install from the wheels of this folder alone, without a network; null: from the package index. */
  readonly wheelFolder: string | null;
}

/** Hears one line of what is going on. */
export type Report = (line: string) => void;

const MARKER = "attune-installed.json";
const NEWEST_FIRST = ["python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"];
const OLDEST_MINOR = 11; // of Python 3
// The version comes first: Debian's Python without its venv package has one, and then fails.
const LOOK = "import sys; print('%d.%d' % sys.version_info[:2]); import ensurepip, venv";
const CHECK_TIMEOUT_MS = 30_000;
const LOCK_POLL_MS = 1_000;
const LOCK_SILENT_POLLS = 5;
const NEWER_PYTHON = "install Python 3.11 or later (on Debian and Ubuntu with python3-venv)";
const OR_ELSE =
  "or install uv, or set attune.pythonPath to an interpreter in which attune is installed; then run “Attune: Restart Server”.";

/** The interpreter of the finished environment of this version, undefined if there is none. */
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
 * An environment that was not finished is made anew; what pip or uv had downloaded whole is in their caches, so
 * that this goes on where it was stopped. Two windows do not install at once: the second waits for the first.
 */
export async function install(installation: Installation, report: Report, signal: AbortSignal): Promise<string> {
  await mkdir(path.dirname(installation.folder), { recursive: true });
  return withLock(`${installation.folder}.lock`, report, signal, async () => {
    const finished = await installedPython(installation);
    return finished ?? create(installation, report, signal);
  });
}

async function create({ bundle, folder, wheelFolder }: Installation, report: Report, signal: AbortSignal): Promise<string> {
  const wheel = await findWheel(bundle);
  const run = (command: string, args: string[]) => runReporting(command, args, path.dirname(folder), report, signal);
  const python = pythonIn(folder);
  const source = wheelFolder === null ? [] : ["--no-index", "--find-links", wheelFolder];
  const what = ["--constraint", path.join(bundle.folder, "constraints.txt"), ...source, wheel];
  await rm(folder, { recursive: true, force: true });
  if (await succeeds("uv", ["--version"])) {
    report("Creating a Python environment with uv");
    await run("uv", ["venv", "--no-config", "--python", ">=3.11", ...(wheelFolder === null ? [] : ["--offline"]), folder]);
    report("Installing Attune and what it needs");
    await run("uv", ["pip", "install", "--python", python, ...what]);
  } else {
    const base = await findBasePython();
    report(`Creating a Python environment with ${base}`);
    await run(base, ["-I", "-m", "venv", folder]);
    report("Installing Attune and what it needs");
    await run(python, ["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", ...what]);
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

async function findBasePython(): Promise<string> {
  let incomplete: string | undefined;
  let old: string | undefined;
  for (const python of NEWEST_FIRST) {
    const found = await look(python);
    if (found === undefined) {
      continue;
    }
    const { version, isComplete } = found;
    const [major, minor] = version.split(".").map(Number) as [number, number];
    if (major < 3 || (major === 3 && minor < OLDEST_MINOR)) {
      old ??= `Python ${version} (${python}) is too old for Attune: ${NEWER_PYTHON}, ${OR_ELSE}`;
    } else if (isComplete) {
      return python;
    } else {
      incomplete ??=
        `Python ${version} (${python}) cannot make an environment, because its module venv or ensurepip is missing: ` +
        `install it (on Debian and Ubuntu it is the package python${version}-venv), ${OR_ELSE}`;
    }
  }
  throw new EnvironmentError(incomplete ?? old ?? `There is no Python to make an environment with: ${NEWER_PYTHON}, ${OR_ELSE}`);
}

/** What an interpreter says of itself; undefined if it does not run. */
async function look(python: string): Promise<{ version: string; isComplete: boolean } | undefined> {
  const told = (stdout: string, isComplete: boolean) => {
    const version = /^\d+\.\d+$/.exec(stdout.trim())?.[0];
    return version === undefined ? undefined : { version, isComplete };
  };
  try {
    return told((await promisify(execFile)(python, ["-I", "-c", LOOK], { timeout: CHECK_TIMEOUT_MS })).stdout, true);
  } catch (error) {
    return told((error as { stdout?: string }).stdout ?? "", false);
  }
}

async function succeeds(command: string, args: string[]): Promise<boolean> {
  try {
    await promisify(execFile)(command, args, { timeout: CHECK_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

/** Runs a command to its end; each line that it prints is reported. */
async function runReporting(command: string, args: string[], cwd: string, report: Report, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], signal });
  const last: string[] = [];
  let problem: string | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      const said = line.trim();
      if (said !== "") {
        last.push(said);
        last.splice(0, last.length - 3);
        problem ??= /^(error|×)\b/i.test(said) ? said : undefined;
        report(said);
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
      `Attune could not be installed: ${problem ?? last.join(" ")} “Attune: Restart Server” tries again and goes on where it stopped.`,
    );
  }
}

/**
 * Runs `work` while no other process holds the lock file. One whose process has ended is taken over: none has its id,
 * or it has stopped touching the file, because ids begin anew in a container that is started again.
 */
async function withLock<T>(file: string, report: Report, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  let touched: number | undefined;
  let silentPolls = 0;
  while (!(await writeFile(file, String(process.pid), { flag: "wx" }).then(() => true, isHeld))) {
    signal.throwIfAborted();
    const owner = Number(await readFile(file, "utf8").catch(() => "0"));
    const before = touched;
    touched = await stat(file).then(({ mtimeMs }) => mtimeMs, () => undefined);
    silentPolls = touched === before ? silentPolls + 1 : 0;
    if (!isAlive(owner) || silentPolls >= LOCK_SILENT_POLLS) {
      await rm(file, { force: true });
      continue;
    }
    report("Another window is installing Attune");
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  const touching = setInterval(() => void utimes(file, new Date(), new Date()).catch(() => undefined), LOCK_POLL_MS);
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await rm(file, { force: true });
  }
}

function isHeld(error: NodeJS.ErrnoException): false {
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
