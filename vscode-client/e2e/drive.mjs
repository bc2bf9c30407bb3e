// Drives a real VS Code (code-server in headless Chromium) through one scenario, and prints one JSON line.
//
//   node drive.mjs < scenario.json
//
// The scenario:
//   cache       the folder that install.sh filled
//   chromium    the Chromium executable
//   extension   the folder of the extension, built; or a packaged .vsix file, which is installed
//   workspace   the folder to open
//   file        the file to open, in it
//   cursor      [line, column], both from 1
//   settings    VS Code settings for this run
//   env         more environment variables of the editor and what it starts
//   untrusted   true: the workspace is not trusted (default: it is)
//   timeoutMs   the time for all of it
//   failure     where to put a picture of the page if a step fails
//   steps       what to do, in order; each is an object with one key:
//     {"type": "text"}        types it, key by key
//     {"press": "Tab"}        presses a key or a chord, as Playwright names them
//     {"status": "normal"}    waits until the status bar item is not busy; fails if it then is of another kind
//                             ("normal", "warning" or "error")
//     {"hurry": "text"}       types it at twelve characters a second
//     {"typeThrough": "text"} types it in the same way, and counts in `gaps` the frames without ghost text meanwhile
//     {"statusSays": "regex"} waits until the status bar item's sentence matches
//     {"ghost": true}         waits until ghost text is shown that no longer changes
//     {"ghostIs": "text"}     waits until exactly this ghost text is shown; "": none
//     {"ghostSays": "regex"}  waits until ghost text is shown that matches
//     {"accept": true}        presses Tab, and notes the ghost text shown at that moment
//     {"save": true}          presses Ctrl+S and waits until the file is saved
//     {"note": "file"}        reads a file of the workspace and notes its text
//     {"open": "file"}        opens another file of the workspace, or goes back to it
//     {"goto": [line, col]}   puts the cursor there, both from 1
//     {"command": "title"}    runs a command from the palette
//     {"pick": "text"}        chooses in the list or box that is open
//     {"suggestions": true}   waits until the list of suggestions is open, or closed
//     {"selected": "text"}    waits until this entry of the list of suggestions is selected
//     {"answer": [ask, text]} waits for the box that asks so, and enters the text
//     {"click": "text"}       presses the button with this text
//     {"dialog": "regex"}     waits until a dialogue says so, and notes its text with those of pages
//     {"page": "regex"}       waits until a web view says so, and notes its text
//     {"notice": "regex"}     opens the list of notices and waits until one says so
//     {"logSays": "regex"}    waits until the extension's log says so
//     {"killServer": true}    ends the language server as a crash would
//     {"copy": [from, to]}    puts a file in the place of another in one step
//     {"screenshot": "path"}  takes a picture of the page
//     {"film": "folder"}      takes the next picture of a film, a numbered file in a folder
//
// The result: {"ok", "error", "step": the last one begun, "status": {"text", "label", "kind"}, "ghosts": [accepted text, …],
// "notes": [text, …], "pages": [text, …], "popUps": [text, …], "log": the last lines of the extension's log, "errors": every error of any log
// that names the extension, "gaps": frames}. Everything started is stopped, by its recorded process id, whatever happens.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";

const STATUS = ".statusbar-item[id*='attune.status']";
const LOG_LINES = 30;
const HURRY_MS = 1000 / 12;
const LOOK_MS = 250;
// VS Code has the command, but no key for it.
const KEYS = [{ key: "ctrl+alt+l", command: "editor.action.inlineSuggest.acceptNextLine" }];
const STOP_GRACE_MS = 10_000;

/** Everything that code-server and Chromium write stays in this folder: short, because sockets lie in it. */
async function makeRunFolder(settings) {
  const run = await mkdtemp(path.join(tmpdir(), "attune-e2e-"));
  for (const folder of ["home", "tmp", "exts", "browser", "data/Machine", "data/User"]) {
    await mkdir(path.join(run, folder), { recursive: true });
  }
  await writeFile(path.join(run, "config.yaml"), "auth: none\n");
  await writeFile(path.join(run, "data/Machine/settings.json"), JSON.stringify(settings));
  await writeFile(path.join(run, "data/User/keybindings.json"), JSON.stringify(KEYS));
  return run;
}

function environmentOf(run, more = {}) {
  return {
    PATH: process.env.PATH,
    LANG: "C.UTF-8",
    HOME: path.join(run, "home"),
    XDG_CONFIG_HOME: path.join(run, "home/config"),
    XDG_DATA_HOME: path.join(run, "home/data"),
    XDG_CACHE_HOME: path.join(run, "home/cache"),
    TMPDIR: path.join(run, "tmp"),
    EXTENSIONS_GALLERY: "{}",
    ...more,
  };
}

const entryOf = (cache) => path.join(cache, "app/node_modules/code-server/out/node/entry.js");

/** Installs a packaged extension into this run's own folder. */
async function installExtension({ cache, extension }, run) {
  const places = ["--user-data-dir", path.join(run, "data"), "--extensions-dir", path.join(run, "exts")];
  const args = [entryOf(cache), ...places, "--config", path.join(run, "config.yaml"), "--install-extension", extension];
  const child = spawn(process.execPath, args, { cwd: run, env: environmentOf(run), stdio: "ignore" });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`the extension was not installed (${code})`);
}

/** Starts code-server; answers the process and, once it listens, the address that it chose. */
function startCodeServer({ cache, workspace, env, untrusted }, run) {
  const entry = entryOf(cache);
  const options = [
    "--bind-addr", "127.0.0.1:0", "--auth", "none", "--disable-telemetry", "--disable-update-check",
    "--disable-getting-started-override", "--reconnection-grace-time", "5",
    ...(untrusted ? [] : ["--disable-workspace-trust"]),
    "--vscode-option", "enable-smoke-test-driver", "--user-data-dir", path.join(run, "data"),
    "--extensions-dir", path.join(run, "exts"), "--config", path.join(run, "config.yaml"),
  ];
  const child = spawn(process.execPath, [entry, ...options, workspace], {
    cwd: run,
    env: environmentOf(run, env),
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
    ...(extension.endsWith(".vsix") ? [] : [["extensionDevelopmentPath", remote(extension)]]),
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
  return [join(editor, ".ghost-text-decoration, .ghost-text-decoration-preview"), ...below.map((line) => join(line, ".ghost-text"))].join("\n");
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

/** Source for the page: looks at every frame that the browser draws whether there is ghost text. */
const startCountingGaps = `(() => {
  let counting = true, frames = 0, gaps = 0;
  const look = () => {
    if (!counting) return;
    frames += 1;
    if ((${readGhostText})() === "") gaps += 1;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  window.attuneStopCounting = () => {
    counting = false;
    if (frames === 0) throw new Error("no frame was drawn");
    return gaps;
  };
})()`;

/** Runs in the page. Null while there is no such item, or it turns. */
function readStatus(selector) {
  const item = document.querySelector(selector);
  const label = item?.querySelector("[aria-label]")?.getAttribute("aria-label") ?? item?.getAttribute("aria-label");
  if (!label || item.querySelector(".codicon-loading")) return null;
  const kind = ["error", "warning"].find((name) => item.classList.contains(`${name}-kind`)) ?? "normal";
  return { text: item.textContent.replaceAll("\u00a0", " ").trim(), label, kind };
}

/** Runs in the page: whether exactly this ghost text is shown. */
const isGhostText = `(wanted) => (${readGhostText})() === (wanted === "" ? "" : wanted)`;

async function quickInput(page, text) {
  const box = page.locator(".quick-input-widget:visible input");
  await box.waitFor();
  await box.fill(text);
}

/** Waits until `read` answers something, looking again and again; the scenario's timeout ends it. */
async function until(read) {
  for (;;) {
    const found = await read();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** The text of every web view; their contents lie in frames of frames. */
async function webViewTexts(page) {
  const texts = page.frames().map((frame) => frame.evaluate("document.body?.innerText ?? ''").catch(() => ""));
  return Promise.all(texts.slice(1));
}

/** With the test driver VS Code shows no toasts, but it keeps what they would have said. */
async function openNotices(page) {
  const list = page.locator(".notifications-center.visible");
  if ((await list.count()) === 0) await page.locator("[id='status.notifications']").click();
  await list.waitFor();
}

const actions = {
  type: (page, keys) => page.keyboard.type(keys, { delay: 30 }),
  hurry: (page, keys) => page.keyboard.type(keys, { delay: HURRY_MS }),
  async typeThrough(page, keys, { result }) {
    await page.evaluate(startCountingGaps);
    await page.keyboard.type(keys, { delay: HURRY_MS });
    result.gaps += await page.evaluate("window.attuneStopCounting()");
  },
  press: (page, key) => page.keyboard.press(key),
  async status(page, kind, { result }) {
    const found = await page.waitForFunction(readStatus, STATUS);
    result.status = await found.jsonValue();
    if (result.status.kind !== kind) throw new Error(`the status bar says: ${result.status.label}`);
  },
  async statusSays(page, pattern, { result }) {
    result.status = await until(async () => {
      const status = await page.evaluate(readStatus, STATUS);
      return status !== null && new RegExp(pattern).test(status.label) && status;
    });
  },
  ghost: (page) => page.waitForFunction(settledGhostText, undefined, { polling: 500 }),
  ghostIs: (page, text) => until(() => page.evaluate(`(${isGhostText})(${JSON.stringify(text)})`)),
  ghostSays: (page, pattern) => until(async () => new RegExp(pattern).test(await page.evaluate(readGhostText))),
  async accept(page, _, { result }) {
    await page.evaluate(noteGhostTextAtTab);
    await page.keyboard.press("Tab");
    result.ghosts.push(await page.evaluate("window.attuneGhostText"));
  },
  async save(page) {
    await page.locator(".tab.active.dirty").waitFor();
    await page.keyboard.press("Control+s");
    await page.locator(".tab.active:not(.dirty)").waitFor();
  },
  async note(page, file, { result, scenario }) {
    result.notes.push(await readFile(path.join(scenario.workspace, file), "utf8"));
  },
  async open(page, file) {
    const tab = page.locator(".tab", { hasText: file });
    if ((await tab.count()) > 0) {
      await tab.click();
    } else {
      await page.keyboard.press("Control+p");
      await quickInput(page, file);
      await page.locator(".quick-input-list .monaco-list-row.focused", { hasText: file }).waitFor();
      await page.keyboard.press("Enter");
    }
    await page.locator(".tab.active", { hasText: file }).waitFor();
    await page.locator(".editor-instance .monaco-editor.focused").waitFor();
  },
  async goto(page, [line, column]) {
    await page.keyboard.press("Control+g");
    await quickInput(page, `:${line}:${column}`);
    await page.keyboard.press("Enter");
    await page.locator(".editor-instance .monaco-editor.focused").waitFor();
  },
  async command(page, title) {
    await page.keyboard.press("F1");
    await quickInput(page, `>${title}`);
    await page.locator(".quick-input-list .monaco-list-row.focused", { hasText: title }).waitFor();
    await page.keyboard.press("Enter");
  },
  async pick(page, text) {
    await page.locator(".quick-input-list .monaco-list-row:visible", { hasText: text }).first().waitFor();
    await quickInput(page, text);
    await page.keyboard.press("Enter");
  },
  suggestions: (page, open) =>
    page.locator(".suggest-widget.visible .monaco-list-row").first().waitFor({ state: open ? "visible" : "hidden" }),
  selected: (page, text) =>
    page.locator(".suggest-widget.visible .monaco-list-row.focused", { hasText: text }).waitFor(),
  async answer(page, [ask, text]) {
    await page.locator(".quick-input-message:visible", { hasText: ask }).waitFor();
    await page.locator(".quick-input-widget:visible input").fill(text);
    await page.keyboard.press("Enter");
  },
  click: (page, text) => page.locator(".monaco-button:visible", { hasText: text }).first().click(),
  async dialog(page, pattern, { result }) {
    const box = page.locator(".monaco-dialog-box", { hasText: new RegExp(pattern) });
    await box.waitFor();
    result.pages.push(await box.innerText());
  },
  async page(page, pattern, { result }) {
    const matches = (text) => new RegExp(pattern).test(text);
    result.pages.push(await until(async () => (await webViewTexts(page)).find(matches)));
  },
  async notice(page, pattern) {
    await openNotices(page);
    const says = page.locator(".notifications-center .notification-list-item-message", { hasText: new RegExp(pattern) });
    await says.first().waitFor();
  },
  logSays: (page, pattern, { run }) =>
    until(async () => new RegExp(pattern).test((await readLog(run, Infinity)).join("\n"))),
  async killServer() {
    const isServer = async ([id]) => {
      const command = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
      return command.split("\0").includes("serve"); // what both `-m attune serve` and a script of a test are
    };
    const ids = await descendants();
    const servers = (await Promise.all(ids.map(isServer))).flatMap((is, index) => (is ? [ids[index][0]] : []));
    if (servers.length === 0) throw new Error("there is no server to kill");
    for (const id of servers) process.kill(id, "SIGKILL");
  },
  async copy(page, [from, to]) {
    await copyFile(from, `${to}.new`);
    await rename(`${to}.new`, to);
  },
  screenshot: (page, file) => page.screenshot({ path: file }),
  async film(page, folder, { result }) {
    result.frames += 1;
    await page.screenshot({ path: path.join(folder, `${String(result.frames).padStart(3, "0")}.png`) });
  },
};

async function play(scenario, address, page, result, run) {
  page.setDefaultTimeout(0); // the scenario's own timeout ends a wait
  await page.goto(pageUrl(scenario, address));
  await page.locator(".editor-instance .monaco-editor .view-line").first().waitFor();
  await page.keyboard.press("Control+1");
  await page.locator(".editor-instance .monaco-editor.focused").waitFor();
  for (const step of scenario.steps) {
    const [[name, value]] = Object.entries(step);
    result.step = step;
    await actions[name](page, value, { scenario, result, run });
  }
  await openNotices(page);
  result.popUps = await page.locator(".notifications-center .notification-list-item-message").allTextContents();
}

/** The last lines of the extension's log. */
async function readLog(run, lines = LOG_LINES) {
  const files = await readdir(path.join(run, "data/logs"), { recursive: true }).catch(() => []);
  const file = files.find((name) => path.basename(name) === "Attune.log");
  if (file === undefined) return [];
  const log = await readFile(path.join(run, "data/logs", file), "utf8");
  return log.trimEnd().split("\n").slice(-lines);
}

/** What the editor's logs call an error of the extension, wherever it is written. */
async function readErrors(run) {
  const files = await readdir(path.join(run, "data/logs"), { recursive: true }).catch(() => []);
  const logs = files.filter((file) => file.endsWith(".log"));
  const texts = await Promise.all(logs.map((file) => readFile(path.join(run, "data/logs", file), "utf8")));
  const isError = (line) => /\[error\]|\bERROR\b|Traceback/.test(line) && /attune/i.test(line);
  return texts.flatMap((text, index) =>
    text.split("\n").filter((line) => isError(line) || (logs[index].endsWith("Attune.log") && /ERROR|Traceback/.test(line))),
  );
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
  const result = { ok: false, error: null, step: null, status: null, ghosts: [], notes: [], pages: [], popUps: [], log: [], errors: [], frames: 0, gaps: 0 };
  const ended = new Promise((_, reject) => {
    const give = (why) => reject(new Error(why));
    setTimeout(give, scenario.timeoutMs, `not done after ${scenario.timeoutMs} ms`).unref();
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => give(`stopped by ${signal}`));
  });
  ended.catch(() => undefined); // it may come when nothing waits for it any more
  const run = await makeRunFolder(scenario.settings);
  let child, context;
  try {
    if (scenario.extension.endsWith(".vsix")) await Promise.race([installExtension(scenario, run), ended]);
    const codeServer = startCodeServer(scenario, run);
    child = codeServer.child;
    const address = await Promise.race([codeServer.address, ended]);
    context = await Promise.race([startBrowser(scenario, run), ended]);
    const page = context.pages()[0] ?? (await context.newPage());
    await Promise.race([play(scenario, address, page, result, run), ended]);
    result.ok = true;
  } catch (error) {
    result.error = error.message;
    result.ghost = await context?.pages()[0]?.evaluate(readGhostText).catch(() => null);
    await context?.pages()[0]?.screenshot({ path: scenario.failure, timeout: STOP_GRACE_MS }).catch(() => undefined);
  } finally {
    await stop(child, context);
    result.log = await readLog(run);
    result.errors = await readErrors(run);
    await rm(run, { recursive: true, force: true, maxRetries: 5 });
  }
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(result.ok ? 0 : 1));
}

await main();
