/** The Python of the machine that can make an environment. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { EnvironmentError } from "./environmentError";

const NEWEST_FIRST = ["python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"];
const MIN_MINOR = 11; // of Python 3
const CHECK_TIMEOUT_MS = 30_000;
// The version is printed first: Debian's Python without its venv package has one, and fails at the import.
const CHECK = "import sys; print('%d.%d' % sys.version_info[:2]); import ensurepip, venv";
const NEWER_PYTHON = "install Python 3.11 or later (on Debian and Ubuntu with python3-venv)";
const ALTERNATIVES =
  "or install uv, or set attune.pythonPath to an interpreter in which attune is installed; then run “Attune: Restart Server”.";

interface Interpreter {
  /** Such as "3.11". */
  readonly version: string;
  /** Whether it has the modules that make an environment. */
  readonly hasVenv: boolean;
}

/** The first interpreter that is new enough and complete. Throws `EnvironmentError` with what to do if there is none. */
export async function findBasePython(): Promise<string> {
  let incomplete: string | undefined;
  let old: string | undefined;
  for (const python of NEWEST_FIRST) {
    const interpreter = await examine(python);
    if (interpreter === undefined) {
      continue;
    }
    const { version, hasVenv } = interpreter;
    const [major, minor] = version.split(".").map(Number) as [number, number];
    if (major < 3 || (major === 3 && minor < MIN_MINOR)) {
      old ??= `Python ${version} (${python}) is too old for Attune: ${NEWER_PYTHON}, ${ALTERNATIVES}`;
    } else if (hasVenv) {
      return python;
    } else {
      incomplete ??=
        `Python ${version} (${python}) cannot make an environment, because its module venv or ensurepip is missing: ` +
        `install it (on Debian and Ubuntu it is the package python${version}-venv), ${ALTERNATIVES}`;
    }
  }
  throw new EnvironmentError(incomplete ?? old ?? `There is no Python to make an environment with: ${NEWER_PYTHON}, ${ALTERNATIVES}`);
}

/** Undefined if the interpreter does not run. */
async function examine(python: string): Promise<Interpreter | undefined> {
  const parse = (stdout: string, hasVenv: boolean) => {
    const version = /^\d+\.\d+$/.exec(stdout.trim())?.[0];
    return version === undefined ? undefined : { version, hasVenv };
  };
  try {
    const { stdout } = await promisify(execFile)(python, ["-I", "-c", CHECK], { timeout: CHECK_TIMEOUT_MS });
    return parse(stdout, true);
  } catch (error) {
    return parse((error as { stdout?: string }).stdout ?? "", false);
  }
}
