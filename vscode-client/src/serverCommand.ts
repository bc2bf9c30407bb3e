/** Finds the Python interpreter that runs the server. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Installation, install, installedPython, type Report } from "./environment";
import { EnvironmentError } from "./environmentError";

type Check = { readonly problem: "not_runnable" | "no_attune" } | { readonly problem: null; readonly version: string };

const SET_PATH = "set attune.pythonPath to the Python interpreter in which attune is installed.";
const CHECK_TIMEOUT_MS = 30_000;

/** Runs an installation and shows its progress. */
export type ShowInstallation = <T>(work: (report: Report, signal: AbortSignal) => Promise<T>) => PromiseLike<T>;

/**
 * The interpreter that runs attune, the first of these:
 *
 * 1. `pythonPath`, if it is set; nothing else then.
 * 2. The extension's private environment, if it is finished and of this version.
 * 3. `python3` or `python` of the PATH, if attune of this version is installed there.
 * 4. The private environment, created now.
 *
 * `cwd` is the working directory. It must not be the workspace, so that nothing in the workspace is executed: `-I`
 * keeps Python from importing from the working directory, and a neutral folder does so for everything else.
 */
export async function findPython(
  pythonPath: string | null,
  cwd: string,
  installation: Installation,
  show: ShowInstallation,
): Promise<string> {
  if (pythonPath !== null) {
    const check = await checkInterpreter(pythonPath, cwd);
    if (check.problem === "not_runnable") {
      throw new EnvironmentError(`The Python interpreter ${pythonPath} cannot be run: ${SET_PATH}`);
    }
    if (check.problem === "no_attune") {
      throw new EnvironmentError(`The Python interpreter ${pythonPath} cannot import attune: install attune there, or ${SET_PATH}`);
    }
    return pythonPath;
  }
  const ready = await installedPython(installation);
  if (ready !== undefined) {
    return ready;
  }
  for (const python of ["python3", "python"]) {
    const check = await checkInterpreter(python, cwd);
    if (check.problem === null && check.version === installation.bundle.version) {
      return python;
    }
  }
  return show((report, signal) => install(installation, report, signal));
}

/** The arguments behind the interpreter for a sub-command of attune. */
export function attuneArguments(...args: string[]): string[] {
  return ["-I", "-m", "attune", ...args];
}

async function checkInterpreter(python: string, cwd: string): Promise<Check> {
  try {
    const code = "import attune; print(attune.__version__)";
    const { stdout } = await promisify(execFile)(python, ["-I", "-c", code], { cwd, timeout: CHECK_TIMEOUT_MS });
    return { problem: null, version: stdout.trim() };
  } catch (error) {
    // The code is an exit status if Python ran, and a name such as ENOENT or EACCES if it did not.
    return { problem: typeof (error as { code?: unknown }).code === "number" ? "no_attune" : "not_runnable" };
  }
}
