/** Finds the Python interpreter that runs the server. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { EnvironmentError, type Installation, install, installedPython, type Report } from "./environment";

type Check = "cannot run" | "no attune" | { readonly version: string };

const WHAT_TO_DO = "set attune.pythonPath to the Python interpreter in which attune is installed.";
const CHECK_TIMEOUT_MS = 30_000;

/** Runs an installation and shows how far it is. */
export type ShowInstallation = <T>(work: (report: Report, signal: AbortSignal) => Promise<T>) => PromiseLike<T>;

/**
 * The interpreter that runs attune, the first of these:
 *
 * 1. `pythonPath`, if it is set; nothing else then.
 * 2. The extension's private environment, if it is finished and of this version.
 * 3. `python3` or `python` of the PATH, if attune of this version is installed there.
 * 4. The private environment, created now.
 *
 * `cwd` is the folder to run things in. It must not be the workspace: `-I` keeps Python from importing what lies
 * in the current folder, and a neutral folder keeps everything else from it.
 */
export async function findPython(
  pythonPath: string | null,
  cwd: string,
  installation: Installation,
  show: ShowInstallation,
): Promise<string> {
  if (pythonPath !== null) {
    const check = await checkInterpreter(pythonPath, cwd);
    if (check === "cannot run") {
      throw new EnvironmentError(`The Python interpreter ${pythonPath} cannot be run: ${WHAT_TO_DO}`);
    }
    if (check === "no attune") {
      throw new EnvironmentError(`The Python interpreter ${pythonPath} cannot import attune: install attune there, or ${WHAT_TO_DO}`);
    }
    return pythonPath;
  }
  const ready = await installedPython(installation);
  if (ready !== undefined) {
    return ready;
  }
  for (const python of ["python3", "python"]) {
    const check = await checkInterpreter(python, cwd);
    if (typeof check === "object" && check.version === installation.bundle.version) {
      return python;
    }
  }
  return show((report, signal) => install(installation, report, signal));
}

/** The arguments behind the interpreter for a sub-command of attune. */
export function attune(...args: string[]): string[] {
  return ["-I", "-m", "attune", ...args];
}

async function checkInterpreter(python: string, cwd: string): Promise<Check> {
  try {
    const code = "import attune; print(attune.__version__)";
    const { stdout } = await promisify(execFile)(python, ["-I", "-c", code], { cwd, timeout: CHECK_TIMEOUT_MS });
    return { version: stdout.trim() };
  } catch (error) {
    // The code is an exit status where Python ran, and a name such as ENOENT or EACCES where it did not.
    return typeof (error as { code?: unknown }).code === "number" ? "no attune" : "cannot run";
  }
}
