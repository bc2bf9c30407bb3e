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
//   compiled    a file that a server finds in its cache folder, as if an earlier one had compiled it (default: none)
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
//     {"ask": true}           asks for a suggestion until ghost text is shown that no longer changes
//     {"ghostIs": "text"}     waits until exactly this ghost text is shown; "": none
//     {"ghostSays": "regex"}  waits until ghost text is shown that matches
//     {"accept": true}        presses Tab, and notes the ghost text shown at that moment
//     {"save": true}          presses Ctrl+S and waits until the file is saved
//     {"note": "file"}        reads a file of the workspace and notes its text
//     {"open": "file"}        opens another file of the workspace, or goes back to it
//     {"draft": "language"}   opens a file without a name, of this language
//     {"cell": [file, text]}  opens a notebook and puts the cursor at the end of its first cell with this text
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
// The result: {"ok", "error", "step": the last one begun and its index, "seen": the page at a failure,
// "status": {"text", "label", "kind"}, "ghosts": [accepted text, …],
// "notes": [text, …], "pages": [text, …], "popUps": [text, …], "log": the last lines of the extension's log, "errors": every error of any log
// that names the extension, "gaps": frames}. Everything started is stopped, by its recorded process id, whatever happens.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { readErrors, readLog } from "./logs.mjs";
import { actions, cursorIn, describePage, editorReady, environmentOf, openNotices, startBrowser, until } from "./page.mjs";
import { descendants, killRemaining } from "./processes.mjs";

// Commands without a key, or with one (Alt+\\) that a browser without a screen does not pass on.
const KEYS = [
  { key: "ctrl+alt+l", command: "editor.action.inlineSuggest.acceptNextLine" },
  { key: "ctrl+alt+u", command: "editor.action.inlineSuggest.trigger" },
];
const STOP_GRACE_MS = 10_000;

/** Everything that code-server and Chromium write stays in this folder: short, because sockets lie in it. */
async function makeRunFolder({ settings, compiled }) {
  const run = await mkdtemp(path.join(tmpdir(), "attune-e2e-"));
  for (const folder of ["home", "tmp", "exts", "browser", "data/Machine", "data/User"]) {
    await mkdir(path.join(run, folder), { recursive: true });
  }
  await writeFile(path.join(run, "config.yaml"), "auth: none\n");
  await writeFile(path.join(run, "data/Machine/settings.json"), JSON.stringify(settings));
  await writeFile(path.join(run, "data/User/keybindings.json"), JSON.stringify(KEYS));
  if (compiled) {
    await mkdir(path.join(run, "home/cache/attune"), { recursive: true, mode: 0o700 });
    await copyFile(compiled, path.join(run, "home/cache/attune", path.basename(compiled)));
  }
  return run;
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

async function play(scenario, address, page, result, run) {
  page.setDefaultTimeout(0); // the scenario's own timeout ends a wait
  await page.goto(pageUrl(scenario, address));
  await page.locator(".editor-instance .monaco-editor .view-line").first().waitFor();
  await page.keyboard.press("Control+1");
  await editorReady(page);
  await cursorIn(page, scenario.cursor[0]);
  for (const [index, step] of scenario.steps.entries()) {
    const [[name, value]] = Object.entries(step);
    result.step = { ...step, index };
    await actions[name](page, value, { scenario, result, run });
  }
  await until(async () => {
    await openNotices(page);
    return (await page.locator(".notifications-center.visible").count()) > 0;
  });
  result.popUps = await page.locator(".notifications-center .notification-list-item-message").allTextContents();
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
  const run = await makeRunFolder(scenario);
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
    result.seen = await context?.pages()[0]?.evaluate(describePage).catch(() => null);
    await context?.pages()[0]?.screenshot({ path: scenario.failure, timeout: STOP_GRACE_MS }).catch(() => undefined);
  } finally {
    await stop(child, context);
    result.log = await readLog(run);
    result.errors = await readErrors(run, scenario);
    await rm(run, { recursive: true, force: true, maxRetries: 10 });
  }
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(result.ok ? 0 : 1));
}

await main();
