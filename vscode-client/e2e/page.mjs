// What the drivers do in VS Code's page, and how they read it.

import { copyFile, readFile, rename } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { readLog } from "./logs.mjs";
import { descendants, kill } from "./processes.mjs";

const STATUS = ".statusbar-item[id*='attune.status']";
const TYPE_MS = 30;
const HURRY_MS = 1000 / 12;
const ASK_MS = 3000; // then the editor is asked again: its own request after an edit may take the first answer away
const POLL_MS = 250;

/** The environment of what is started here: everything is written into the run's own folder. */
export function environmentOf(run, more = {}) {
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

export function startBrowser({ cache, chromium }, run) {
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

/** Runs in the page. The first line of ghost text stands in the editor's line, the others in a view zone below. */
function readGhostText() {
  const join = (element, selector) =>
    [...element.querySelectorAll(selector)].map((part) => part.textContent.replaceAll("\u00a0", " ")).join("");
  const editor =
    document.querySelector(".cell-editor-container .monaco-editor.focused") ??
    document.querySelector(".editor-instance .monaco-editor");
  const below = [...editor.querySelectorAll(".suggest-preview-text .view-line")];
  return [join(editor, ".ghost-text-decoration, .ghost-text-decoration-preview"), ...below.map((line) => join(line, ".ghost-text"))].join("\n");
}

/** Source for the page: what one would look at in a picture of it. */
export const describePage = `(() => ({
  tab: document.querySelector(".tab.active")?.textContent,
  language: document.querySelector("[id='status.editor.mode']")?.textContent,
  lines: [...document.querySelectorAll(".monaco-editor.focused .view-line")].map((line) => line.textContent),
  ghost: (${readGhostText})(),
  focus: document.activeElement?.className,
}))()`;

/** Source for the page: the ghost text, once two successive polls agree; empty until then. */
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

/** Source for the page: counts the drawn frames, and those without ghost text. */
const startCountingGaps = `(() => {
  let counting = true, frames = 0, gaps = 0;
  const countFrame = () => {
    if (!counting) return;
    frames += 1;
    if ((${readGhostText})() === "") gaps += 1;
    requestAnimationFrame(countFrame);
  };
  requestAnimationFrame(countFrame);
  window.attuneStopCounting = () => {
    counting = false;
    if (frames === 0) throw new Error("no frame was drawn");
    return gaps;
  };
})()`;

/** Runs in the page. Null while there is no such item, or while its icon spins. */
function readStatus(selector) {
  const item = document.querySelector(selector);
  const label = item?.querySelector("[aria-label]")?.getAttribute("aria-label") ?? item?.getAttribute("aria-label");
  if (!label || item.querySelector(".codicon-loading")) return null;
  const kind = ["error", "warning"].find((name) => item.classList.contains(`${name}-kind`)) ?? "normal";
  return { text: item.textContent.replaceAll("\u00a0", " ").trim(), label, kind };
}

/** Runs in the page: whether exactly this ghost text is shown. */
const isGhostText = `(wanted) => (${readGhostText})() === (wanted === "" ? "" : wanted)`;

/** Runs in the page: whether an editor gets what is typed. */
function editorHasFocus() {
  const open = [...document.querySelectorAll(".quick-input-widget")].some((box) => box.checkVisibility());
  return !open && document.activeElement?.closest(".monaco-editor.focused") != null;
}

/**
 * Waits until an editor gets what is typed and asks for suggestions. VS Code makes an editor's part for inline
 * suggestions when the page is idle. Idle callbacks run in the order of their registration, so one of ours runs later.
 */
export async function editorReady(page) {
  await page.waitForFunction(editorHasFocus);
  await page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)));
}

async function typeKeys(page, keys, delay) {
  await editorReady(page);
  await page.keyboard.type(keys, { delay });
}

/**
 * Types into the box that is open, until the chosen entry of its list has this text: a box shows before it listens.
 * Then takes that entry.
 */
async function quickChoose(page, typed, entry = typed) {
  const chosen = page.locator(".quick-input-list .monaco-list-row.focused:visible", { hasText: entry });
  await until(async () => {
    await page.locator(".quick-input-widget:visible input").fill("");
    await page.locator(".quick-input-widget:visible input").fill(typed);
    return chosen.waitFor({ timeout: ASK_MS }).then(() => true, () => false);
  });
  await page.keyboard.press("Enter");
}

async function quickOpen(page, file) {
  await page.keyboard.press("Control+p");
  await quickChoose(page, file);
}

/** Waits until `read` returns something truthy, and returns it, polling; the scenario's timeout ends it. */
export async function until(read) {
  for (;;) {
    const value = await read();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The text of every web view; their contents lie in frames of frames. */
async function webViewTexts(page) {
  const texts = page.frames().map((frame) => frame.evaluate("document.body?.innerText ?? ''").catch(() => ""));
  return Promise.all(texts.slice(1));
}

/** With the test driver VS Code shows no toasts, but it keeps what they would have said. */
export async function openNotices(page) {
  const list = page.locator(".notifications-center.visible");
  if ((await list.count()) === 0) await page.locator("[id='status.notifications']").click();
}

/** Waits until the cursor is in this line, as the status bar shows it. */
export const cursorIn = (page, line) =>
  page.locator("[id='status.editor.selection']", { hasText: new RegExp(`Ln ${line},`) }).waitFor();

export const actions = {
  type: (page, keys) => typeKeys(page, keys, TYPE_MS),
  hurry: (page, keys) => typeKeys(page, keys, HURRY_MS),
  async typeThrough(page, keys, { result }) {
    await editorReady(page);
    await page.evaluate(startCountingGaps);
    await page.keyboard.type(keys, { delay: HURRY_MS });
    result.gaps += await page.evaluate("window.attuneStopCounting()");
  },
  press: (page, key) => page.keyboard.press(key),
  async status(page, kind, { result }) {
    const handle = await page.waitForFunction(readStatus, STATUS);
    result.status = await handle.jsonValue();
    if (result.status.kind !== kind) throw new Error(`the status bar says: ${result.status.label}`);
  },
  async statusSays(page, pattern, { result }) {
    await until(async () => {
      const status = await page.evaluate(readStatus, STATUS);
      result.status = status ?? result.status; // of a wait without end, the last one tells why
      return status !== null && new RegExp(pattern).test(status.label);
    });
  },
  ghost: (page) => page.waitForFunction(settledGhostText, undefined, { polling: 500 }),
  async ask(page) {
    await until(async () => {
      await page.keyboard.press("Control+Alt+u");
      return page.waitForFunction(settledGhostText, undefined, { polling: 250, timeout: ASK_MS }).catch(() => null);
    });
  },
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
      await quickOpen(page, file);
    }
    await page.locator(".tab.active", { hasText: file }).waitFor();
    await editorReady(page);
  },
  async draft(page, language) {
    await page.keyboard.press("Control+Alt+n");
    await page.locator(".tab.active", { hasText: "Untitled" }).waitFor();
    await page.locator("[id='status.editor.mode']", { hasText: "Plain Text" }).waitFor();
    await actions.command(page, "Change Language Mode");
    await page.locator(".quick-input-widget:visible input[placeholder='Select Language Mode']").waitFor();
    await quickChoose(page, language);
    await page.locator("[id='status.editor.mode']", { hasText: language }).waitFor();
    await editorReady(page);
  },
  async cell(page, [file, text]) {
    await quickOpen(page, file);
    await page.locator(".cell-editor-container .view-line", { hasText: text }).first().click();
    await page.locator(".cell-editor-container .monaco-editor.focused").waitFor();
    await editorReady(page);
    await page.keyboard.press("Control+End");
  },
  async goto(page, [line, column]) {
    await page.keyboard.press("Control+g");
    await quickChoose(page, `:${line}:${column}`, new RegExp(`line ${line}\\b`));
    await editorReady(page);
    await cursorIn(page, line);
  },
  async command(page, title) {
    await page.keyboard.press("F1");
    await quickChoose(page, `>${title}`, title);
  },
  async pick(page, text) {
    await page.locator(".quick-input-list .monaco-list-row:visible", { hasText: text }).first().waitFor();
    await quickChoose(page, text);
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
    const says = page.locator(".notifications-center.visible .notification-list-item-message", { hasText: new RegExp(pattern) });
    await until(async () => {
      await openNotices(page); // again: the list closes by itself when the last notice in it goes
      return (await says.count()) > 0;
    });
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
    servers.forEach(kill);
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
