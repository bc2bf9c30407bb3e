/** The installation against stand-ins for Python and uv on the PATH, in fresh folders. */

import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import test, { type TestContext } from "node:test";
import { type Installation, install, installedPython } from "../src/environment";

const never = new AbortController().signal;

// Makes an environment whose interpreter is this same script, and writes down how it was called.
const PYTHON = `#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
  *ensurepip*) cat "$CALLS.version" 2> /dev/null || echo 3.11; if [ -e "$CALLS.incomplete" ]; then exit 1; fi ;;
  *"-m venv "*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; echo made ;;
  *"-m pip install"*) if [ -e "$CALLS.fail" ]; then echo "No space left" >&2; exit 1; fi ;;
esac
`;

interface Prepared extends Installation {
  readonly calls: () => Promise<string>;
  /** Files that the stand-in looks for: pip fails, another version, a Python without venv. */
  readonly fail: string;
  readonly pythonVersion: string;
  readonly incomplete: string;
}

async function prepare(context: TestContext, name = "python3"): Promise<Prepared> {
  const folder = await mkdtemp(path.join(tmpdir(), "attune-environment-"));
  const [bin, bundled] = [path.join(folder, "bin"), path.join(folder, "bundled")];
  await mkdir(bin);
  await mkdir(bundled);
  await writeFile(path.join(bundled, "attune-1.2.3-py3-none-any.whl"), "");
  await writeFile(path.join(bin, name), PYTHON);
  await chmod(path.join(bin, name), 0o755);
  const before = { PATH: process.env.PATH, CALLS: process.env.CALLS };
  for (const tool of ["basename", "cat", "cp", "mkdir"]) {
    await symlink(path.join("/bin", tool), path.join(bin, tool)); // what the stand-in calls, and no real Python
  }
  process.env.PATH = bin;
  process.env.CALLS = path.join(folder, "calls");
  context.after(async () => {
    Object.assign(process.env, before);
    await rm(folder, { recursive: true });
  });
  return {
    bundle: { version: "1.2.3", folder: bundled },
    folder: path.join(folder, "environment"),
    wheelFolder: null,
    calls: () => readFile(path.join(folder, "calls"), "utf8"),
    fail: path.join(folder, "calls.fail"),
    pythonVersion: path.join(folder, "calls.version"),
    incomplete: path.join(folder, "calls.incomplete"),
  };
}

test("makes the environment once", async (context) => {
  const installation = await prepare(context);
  assert.equal(await installedPython(installation), undefined);
  const lines: string[] = [];
  const python = await install(installation, (line) => lines.push(line), never);
  assert.equal(python, path.join(installation.folder, "bin/python"));
  assert.equal(await installedPython(installation), python);
  assert.match(lines[0]!, /Creating a Python environment with python3/);
  const calls = await installation.calls();
  assert.match(calls, /--constraint \S+constraints.txt \S+attune-1.2.3-py3-none-any.whl/);
  assert.doesNotMatch(calls, /--no-index/);
  assert.equal(await install(installation, () => undefined, never), python);
  assert.equal(await installation.calls(), calls);
});

test("a folder of wheels is the only source", async (context) => {
  const installation = { ...(await prepare(context)), wheelFolder: "/wheels" };
  await install(installation, () => undefined, never);
  assert.match(await installation.calls(), /--no-index --find-links \/wheels/);
});

test("what failed is told, and made anew the next time", async (context) => {
  const installation = await prepare(context);
  await writeFile(installation.fail, "");
  await assert.rejects(install(installation, () => undefined, never), /could not be installed: .*No space left/);
  assert.equal(await installedPython(installation), undefined);
  await rm(installation.fail);
  assert.ok(await install(installation, () => undefined, never));
});

test("an environment of another version does not count", async (context) => {
  const installation = await prepare(context);
  await install(installation, () => undefined, never);
  const newer = { ...installation, bundle: { ...installation.bundle, version: "2.0.0" } };
  assert.equal(await installedPython(newer), undefined);
  await assert.rejects(install(newer, () => undefined, never), /carries no wheel/);
});

test("two at once install once", async (context) => {
  const installation = await prepare(context);
  const both = await Promise.all([1, 2].map(() => install(installation, () => undefined, never)));
  assert.equal(both[0], both[1]);
  assert.equal((await installation.calls()).match(/-m venv/g)?.length, 1);
});

test("the lock of a process that has ended is taken over", async (context) => {
  const installation = await prepare(context);
  await writeFile(`${installation.folder}.lock`, "0");
  assert.ok(await install(installation, () => undefined, never));
});

test("a lock that nobody touches is taken over, whoever has its process id now", async (context) => {
  const installation = await prepare(context);
  await writeFile(`${installation.folder}.lock`, String(process.pid));
  assert.ok(await install(installation, () => undefined, never));
});

test("stops when it is told to", async (context) => {
  const installation = await prepare(context);
  const stop = new AbortController();
  await assert.rejects(install(installation, () => stop.abort(), stop.signal));
  assert.equal(await installedPython(installation), undefined);
});

test("without any Python the sentence says what to do", async (context) => {
  const installation = await prepare(context, "something-else");
  await assert.rejects(install(installation, () => undefined, never), /install Python 3.11 or later/);
});

test("a Python without venv: the sentence names the package, and with it the next start goes on", async (context) => {
  const installation = await prepare(context);
  await writeFile(installation.incomplete, "");
  await assert.rejects(install(installation, () => undefined, never), /^Error: Python 3\.11 \(python3\) cannot make an .* python3\.11-venv\),/);
  await rm(installation.incomplete);
  assert.ok(await install(installation, () => undefined, never));
});

test("a Python that is too old is named", async (context) => {
  const installation = await prepare(context);
  await writeFile(installation.pythonVersion, "3.9\n");
  await assert.rejects(install(installation, () => undefined, never), /Python 3\.9 \(python3\) is too old .* Python 3\.11 or later/);
});
