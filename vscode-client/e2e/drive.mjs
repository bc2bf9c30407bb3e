// Drives a real VS Code (code-server in headless Chromium) through one scenario, and prints one JSON line.
//
//   node drive.mjs < scenario.json
//
// The scenario:
//   cache       the folder that install.sh filled
//   chromium    the Chromium executable
//   extension   the folder of the extension, built
//   workspace   the folder to open
//   file        the file to open, in it
//   cursor      [line, column], both from 1
//   settings    VS Code settings for this run
//   timeoutMs   the time for all of it
//   failure     where to put a picture of the page if a step fails
//   steps       what to do, in order; each is an object with one key:
//     {"type": "text"}        types it, key by key
//     {"press": "Tab"}        presses a key or a chord, as Playwright names them
//     {"status": "normal"}    waits until the status bar item is not busy; fails if it then is of another kind
//                             ("normal", "warning" or "error")
//     {"ghost": true}         waits until ghost text is shown that no longer changes
//     {"accept": true}        presses Tab, and notes the ghost text shown at that moment
//     {"save": true}          presses Ctrl+S and waits until the file is saved
//     {"screenshot": "path"}  takes a picture of the page
//
// The result: {"ok", "error", "step": the last one begun, "status": {"text", "label", "kind"}, "ghosts": [accepted text, …],
// "popUps": [text, …], "log": the last lines of the extension's log}. Everything started is stopped, by its recorded process id, whatever happens.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

const STATUS = ".statusbar-item[id*='attune.status']";
const LOG_LINES = 30;
const STOP_GRACE_MS = 10_000;

/** Everything that code-server and Chromium write stays in this folder: short, because sockets lie in it. */
async function makeRunFolder(settings) {
  const run = await mkdtemp(path.join(tmpdir(), "attune-e2e-"));
  for (const folder of ["home", "tmp", "exts", "browser", "data/Machine", "data/User"]) {
    await mkdir(path.join(run, folder), { recursive: true });
  }
  await writeFile(path.join(run, "config.yaml"), "auth: none\n");
  await writeFile(path.join(run, "data/Machine/settings.json"), JSON.stringify(settings));
  return run;
}

function environmentOf(run) {
  return {
    PATH: process.env.PATH,
    LANG: "C.UTF-8",
    HOME: path.join(run, "home"),
    XDG_CONFIG_HOME: path.join(run, "home/config"),
    XDG_DATA_HOME: path.join(run, "home/data"),
    XDG_CACHE_HOME: path.join(run, "home/cache"),
    TMPDIR: path.join(run, "tmp"),
    EXTENSIONS_GALLERY: "{}",
  };
}

/** Starts code-server; answers the process and, once it listens, the address that it chose. */
function startCodeServer({ cache, workspace }, run) {
  const entry = path.join(cache, "app/node_modules/code-server/out/node/entry.js");
  const options = [
    "--bind-addr", "127.0.0.1:0", "--auth", "none", "--disable-telemetry", "--disable-update-check",
    "--disable-workspace-trust", "--disable-getting-started-override", "--reconnection-grace-time", "5",
    "--vscode-option", "enable-smoke-test-driver", "--user-data-dir", path.join(run, "data"),
    "--extensions-dir", path.join(run, "exts"), "--config", path.join(run, "config.yaml"),
  ];
  const child = spawn(process.execPath, [entry, ...options, workspace], {
    cwd: run,
    env: environmentOf(run),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const address = new Promise((resolve, reject) => {
    const said = [];
    const read = (line) => {
      said.push(line);
      const match = /listening on http:\/\/(127\.0\.0\.1:\d+)/.exec(line);
      if (match) resolve(match[1]);
    };
    createInterface({ input: child.stdout }).on("line", read);
    createInterface({ input: child.stderr }).on("line", read);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`code-server ended with ${code}: ${said.slice(-5).join(" | ")}`)));
  });
  address.catch(() => undefined); // the exit at the end is no failure
  return { child, address };
}

function startBrowser({ cache, chromium }, run) {
  const playwright = createRequire(path.join(cache, "node/"))("playwright-core");
  return playwright.chromium.launchPersistentContext(path.join(run, "browser"), {
    executablePath: chromium,
    headless: true,
    env: environmentOf(run),
    viewport: { width: 1000, height: 620 },
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}

/** The page's address: it opens the file at the cursor and runs the extension from its folder. */
function pageUrl({ workspace, file, cursor, extension }, address) {
  const remote = (file) => `vscode-remote://${address}${encodeURI(file)}`;
  const payload = [
    ["extensionDevelopmentPath", remote(extension)],
    ["openFile", `${remote(path.join(workspace, file))}:${cursor.join(":")}`],
    ["gotoLineMode", "true"],
  ];
  return `http://${address}/?folder=${encodeURIComponent(workspace)}&payload=${encodeURIComponent(JSON.stringify(payload))}`;
}

/** Runs in the page. The first line of ghost text stands in the editor's line, the others in a view zone below. */
function readGhostText() {
  const join = (element, selector) =>
    [...element.querySelectorAll(selector)].map((part) => part.textContent.replaceAll("\u00a0", " ")).join("");
  const editor = document.querySelector(".editor-instance .monaco-editor");
  const below = [...editor.querySelectorAll(".suggest-preview-text .view-line")];
  return [join(editor, ".ghost-text-decoration"), ...below.map((line) => join(line, ".ghost-text"))].join("\n");
}

/** Source for the page: the ghost text, once it was the same at two looks; empty until then. */
const settledGhostText = `(() => {
  const shown = (${readGhostText})();
  const settled = shown === window.attuneGhostText ? shown : "";
  window.attuneGhostText = shown;
  return settled;
})()`;

/** Source for the page: notes the ghost text when Tab arrives, before the editor acts on it. */
const noteGhostTextAtTab = `window.addEventListener("keydown", (event) => {
  if (event.key === "Tab") window.attuneGhostText = (${readGhostText})();
}, { capture: true, once: true })`;

/** Runs in the page. Null while there is no such item, or it turns. */
function readStatus(selector) {
  const item = document.querySelector(selector);
  const label = item?.querySelector("[aria-label]")?.getAttribute("aria-label") ?? item?.getAttribute("aria-label");
  if (!label || item.querySelector(".codicon-loading")) return null;
  const kind = ["error", "warning"].find((name) => item.classList.contains(`${name}-kind`)) ?? "normal";
  return { text: item.textContent.replaceAll("\u00a0", " ").trim(), label, kind };
}

const actions = {
  type: (page, keys) => page.keyboard.type(keys, { delay: 30 }),
  press: (page, key) => page.keyboard.press(key),
  async status(page, kind, result) {
    const found = await page.waitForFunction(readStatus, STATUS);
    result.status = await found.jsonValue();
    if (result.status.kind !== kind) throw new Error(`the status bar says: ${result.status.label}`);
  },
  ghost: (page) => page.waitForFunction(settledGhostText, undefined, { polling: 500 }),
  async accept(page, _, result) {
    await page.evaluate(noteGhostTextAtTab);
    await page.keyboard.press("Tab");
    result.ghosts.push(await page.evaluate("window.attuneGhostText"));
  },
  async save(page) {
    await page.locator(".tab.active.dirty").waitFor();
    await page.keyboard.press("Control+s");
    await page.locator(".tab.active:not(.dirty)").waitFor();
  },
  screenshot: (page, file) => page.screenshot({ path: file }),
};

async function play(scenario, address, page, result) {
  page.setDefaultTimeout(0); // the scenario's own timeout ends a wait
  await page.goto(pageUrl(scenario, address));
  await page.locator(".editor-instance .monaco-editor .view-line").first().waitFor();
  await page.keyboard.press("Control+1");
  await page.locator(".editor-instance .monaco-editor.focused").waitFor();
  for (const step of scenario.steps) {
    const [[name, value]] = Object.entries(step);
    result.step = step;
    await actions[name](page, value, result);
  }
  result.popUps = await page.locator(".notification-toast").allTextContents();
}

/** The last lines of the extension's log. */
async function readLog(run) {
  const files = await readdir(path.join(run, "data/logs"), { recursive: true }).catch(() => []);
  const file = files.find((name) => path.basename(name) === "Attune.log");
  if (file === undefined) return [];
  const log = await readFile(path.join(run, "data/logs", file), "utf8");
  return log.trimEnd().split("\n").slice(-LOG_LINES);
}

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
async function descendants() {
  const all = await processes();
  const isOurs = (id) => id === process.pid || (all.has(id) && isOurs(all.get(id).parent));
  return [...all].filter(([id]) => id !== process.pid && isOurs(id)).map(([id, { started }]) => [id, started]);
}

async function killRemaining(recorded) {
  const all = await processes();
  for (const [id, started] of recorded) {
    const now = all.get(id);
    if (now?.started === started && now.state !== "Z") process.kill(id, "SIGKILL");
  }
}

async function stop(child, context) {
  const recorded = await descendants();
  const grace = new Promise((resolve) => setTimeout(resolve, STOP_GRACE_MS).unref());
  const closed = context?.close().catch(() => undefined);
  await Promise.race([closed, grace]);
  if (child !== undefined && child.exitCode === null && child.signalCode === null) {
    child.kill("SIGTERM");
    await Promise.race([once(child, "exit"), grace]);
  }
  await killRemaining(recorded);
}

async function main() {
  const scenario = JSON.parse(await text(process.stdin));
  const result = { ok: false, error: null, step: null, status: null, ghosts: [], popUps: [], log: [] };
  const ended = new Promise((_, reject) => {
    const give = (why) => reject(new Error(why));
    setTimeout(give, scenario.timeoutMs, `not done after ${scenario.timeoutMs} ms`).unref();
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => give(`stopped by ${signal}`));
  });
  ended.catch(() => undefined); // it may come when nothing waits for it any more
  const run = await makeRunFolder(scenario.settings);
  let child, context;
  try {
    const codeServer = startCodeServer(scenario, run);
    child = codeServer.child;
    const address = await Promise.race([codeServer.address, ended]);
    context = await Promise.race([startBrowser(scenario, run), ended]);
    const page = context.pages()[0] ?? (await context.newPage());
    await Promise.race([play(scenario, address, page, result), ended]);
    result.ok = true;
  } catch (error) {
    result.error = error.message;
    await context?.pages()[0]?.screenshot({ path: scenario.failure, timeout: STOP_GRACE_MS }).catch(() => undefined);
  } finally {
    await stop(child, context);
    result.log = await readLog(run);
    await rm(run, { recursive: true, force: true, maxRetries: 5 });
  }
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(result.ok ? 0 : 1));
}

await main();
