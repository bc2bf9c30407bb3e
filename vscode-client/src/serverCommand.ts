/** Finds the Python interpreter that runs the server. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Executable } from "vscode-languageclient/node";

/** No interpreter runs the server; the message says why and what to do. */
export class ServerNotFoundError extends Error {}

type Check = "usable" | "cannot run" | "no attune";

const WHAT_TO_DO = "set attune.pythonPath to the Python interpreter in which attune is installed.";
const CHECK_TIMEOUT_MS = 30_000;

/**
 * The command that starts the server: `pythonPath`, or the first of `python3` and `python` that has attune.
 *
 * `cwd` is the folder it runs in. It must not be the workspace: `-I` keeps Python from importing what lies in
 * the current folder, and a neutral folder keeps everything else from it.
 */
export async function findServerCommand(pythonPath: string | null, cwd: string): Promise<Executable> {
  const candidates = pythonPath === null ? ["python3", "python"] : [pythonPath];
  for (const python of candidates) {
    const check = await checkInterpreter(python, cwd);
    if (check === "usable") {
      return { command: python, args: ["-I", "-m", "attune", "serve"], options: { cwd } };
    }
    if (pythonPath !== null) {
      throw new ServerNotFoundError(
        check === "cannot run"
          ? `The Python interpreter ${python} cannot be run: ${WHAT_TO_DO}`
          : `The Python interpreter ${python} cannot import attune: install attune there, or ${WHAT_TO_DO}`,
      );
    }
  }
  throw new ServerNotFoundError(`Neither python3 nor python can import attune: ${WHAT_TO_DO}`);
}

async function checkInterpreter(python: string, cwd: string): Promise<Check> {
  try {
    await promisify(execFile)(python, ["-I", "-c", "import attune"], { cwd, timeout: CHECK_TIMEOUT_MS });
    return "usable";
  } catch (error) {
    // The code is an exit status where Python ran, and a name such as ENOENT or EACCES where it did not.
    return typeof (error as { code?: unknown }).code === "number" ? "no attune" : "cannot run";
  }
}
