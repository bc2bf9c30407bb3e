/** Use, pull and publish prompt files. */

import * as path from "node:path";
import { ProgressLocation, type QuickPickItem, window, workspace } from "vscode";
import { type Place, type Ran, runAttune } from "./process";
import { offersOf } from "./registry";
import { NO_PROMPT, settingsTarget, workspaceFolder } from "./settings";

const PROMPT_FILES = "**/*.attune.safetensors";

/** Lets the user choose among the repository's prompt files, its own rule, and no prompt. */
export async function usePrompt(): Promise<void> {
  const files = await workspace.findFiles(PROMPT_FILES, "**/node_modules/**", 100);
  const choices: (QuickPickItem & { value: string })[] = [
    { label: "The repository's own", description: "if it has proved itself", value: "" },
    { label: "No prompt", description: "the bare model", value: NO_PROMPT },
    ...files.map((uri) => workspace.asRelativePath(uri, false)).sort().map((file) => ({
      label: path.basename(file),
      description: path.dirname(file),
      value: file,
    })),
  ];
  const chosen = await window.showQuickPick(choices, { title: "Attune: Use Prompt", placeHolder: "Which prompt shall serve in this workspace?" });
  if (chosen !== undefined) {
    await setPrompt(chosen.value);
  }
}

export async function setPrompt(value: string): Promise<void> {
  await workspace.getConfiguration("attune").update("promptFile", value, settingsTarget());
}

/**
 * Takes the newest version of a prompt for this model from a registry: of the one that the user chooses where there
 * are several. Asks for consent where attune asks for it.
 */
export async function pullPrompt(place: Place): Promise<void> {
  const registry = await askRegistry("Pull Prompt");
  if (registry === undefined) {
    return;
  }
  const listed = await runTelling(place, registry.folder, "Pull Prompt", ["prompt", "versions", "--json", ...registry.options]);
  const offers = offersOf(listed.stdout);
  let name: string | undefined = offers[0]?.name; // none where a registry cannot be listed: attune takes the repository's own name
  if (offers.length > 1) {
    const items = offers.map(({ name: label, description }) => ({ label, description }));
    name = (await window.showQuickPick(items, { title: "Attune: Pull Prompt", placeHolder: "Which prompt?", ignoreFocusOut: true }))?.label;
    if (name === undefined) {
      return;
    }
  }
  const pull = ["prompt", "pull", ...(name === undefined ? [] : [name]), ...registry.options];
  const ran = await runTelling(place, registry.folder, "Pull Prompt", pull);
  if (ran.code !== 0 && ran.lastLine.includes("--trust")) {
    const detail = told(ran).replace(/: find out who made it, then give --trust\./, ". Find out who made it.");
    const trust = "Trust and Use";
    if ((await window.showWarningMessage("Attune: trust this prompt?", { modal: true, detail }, trust)) === trust) {
      tell(await runTelling(place, registry.folder, "Pull Prompt", [...pull, "--trust"]));
    }
    return;
  }
  tell(ran);
}

/** Shares one of the repository's prompts as the newest version of its name. */
export async function publishPrompt(place: Place): Promise<void> {
  const files = (await workspace.findFiles(PROMPT_FILES, "**/node_modules/**", 100)).map((uri) => uri.fsPath);
  if (files.length === 0) {
    void window.showWarningMessage("Attune: there is no prompt to publish; tune one first.");
    return;
  }
  const items = files.sort().map((file) => ({ label: path.basename(file), description: path.dirname(file), file }));
  const chosen = files.length === 1 ? items[0] : await window.showQuickPick(items, { title: "Attune: Publish Prompt" });
  const registry = chosen && (await askRegistry("Publish Prompt"));
  if (chosen !== undefined && registry !== undefined) {
    await push(place, registry, chosen.file);
  }
}

/** Publishes a file; one that was not audited, or did not pass, only after the user has decided. */
async function push(place: Place, registry: Registry, file: string): Promise<void> {
  const title = "Publish Prompt";
  const args = ["prompt", "push", file, ...registry.options];
  const ran = await runTelling(place, registry.folder, title, args);
  if (ran.code === 0 || !ran.lastLine.includes("--force")) {
    tell(ran);
    return;
  }
  const [auditIt, anyway] = ["Audit It First", "Publish Anyway"];
  const ask = (message: string, detail: string, ...choices: string[]) =>
    window.showWarningMessage(`Attune: ${message}`, { modal: true, detail }, ...choices);
  let choice = await ask(
    "this prompt has not passed an audit.",
    "It might give away code or secrets of the repository. An audit looks for that, and takes about as long as tuning.",
    auditIt,
    anyway,
  );
  if (choice === auditIt) {
    const wide = { ...place, env: { ...place.env, COLUMNS: "1000" } }; // a finding on one line
    const audited = await runTelling(wide, registry.folder, "Auditing a prompt", ["prompt", "audit", file, "--repository", registry.folder]);
    if (audited.code === 0) {
      tell(await runTelling(place, registry.folder, title, args));
      return;
    }
    const problems = [...audited.stdout.matchAll(/^PROBLEM: (.*?)\s*$/gm)].map((match) => match[1]).join("\n\n");
    if (problems === "") {
      tell(audited);
      return;
    }
    choice = await ask("this prompt did not pass its audit.", problems, anyway);
  }
  if (choice === anyway) {
    tell(await runTelling(place, registry.folder, title, [...args, "--force"]));
  }
}

/** The repository's folder and the options that name the registry. */
interface Registry {
  readonly folder: string;
  readonly options: string[];
}

/** Undefined if the user gives up. */
async function askRegistry(title: string): Promise<Registry | undefined> {
  const folder = workspaceFolder();
  if (folder === undefined) {
    void window.showWarningMessage("Attune: open the repository's folder first.");
    return undefined;
  }
  const prompt = "The registry: a folder, a URL, or a git remote. Empty: the one that .attune/attune.toml names.";
  const address = await window.showInputBox({ title: `Attune: ${title}`, prompt, ignoreFocusOut: true });
  const options = address?.trim() ? ["--registry", address.trim()] : [];
  return address === undefined ? undefined : { folder, options: ["--repository", folder, ...options] };
}

function runTelling(place: Place, folder: string, title: string, args: string[]): Thenable<Ran> {
  const options = { location: ProgressLocation.Notification, title: `Attune: ${title}` };
  return window.withProgress(options, (progress) =>
    runAttune({ ...place, cwd: folder }, args, { onLine: (message) => progress.report({ message }) }),
  );
}

function told(ran: Ran): string {
  return ran.lastLine.replace(/^attune: /, "") || ran.stdout.trim().split("\n").at(-1) || `attune ended with ${ran.code}.`;
}

function tell(ran: Ran): void {
  const sentence = `Attune: ${told(ran)}`;
  void (ran.code === 0 ? window.showInformationMessage(sentence) : window.showWarningMessage(sentence));
}
