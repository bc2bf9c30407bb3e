/** “Choose a Model…”: which model completes in this repository, or everywhere; and adding one. */

import * as os from "node:os";
import { type OpenDialogOptions, type QuickPickItem, QuickPickItemKind, window, workspace } from "vscode";
import { listedModels, type ModelListing, useArguments } from "./modelListing";
import type { CommandContext } from "./process";
import { runWithNotice, showOutcome } from "./registryCommand";
import { clearModelSetting, readSettings, workspaceFolder } from "./settings";

const TITLE = "Choose a Model";
const ADD_FOLDER = "$(folder) Add a model's folder…";
const ADD_GGUF = "$(file) Add a GGUF file…";
const ADD_FROM_HUB = "$(cloud-download) Add from a Hugging Face hub…";
const IN_REPOSITORY = "In this repository";
const EVERYWHERE = "Everywhere";

interface Added {
  readonly name: string;
}

/** Lets the user choose a model, or add one and choose that; the running server follows by itself. */
export async function chooseModel(context: CommandContext): Promise<void> {
  const folder = repositoryFolder();
  const cwd = folder ?? os.homedir();
  const own = { ...context, env: process.env }; // without the model that the setting names
  const listing = await runWithNotice<ModelListing>(own, cwd, TITLE, ["model", "list", "--repository", cwd]);
  if (!listing.ok) {
    showOutcome(listing, () => "");
    return;
  }
  const models: QuickPickItem[] = listedModels(listing.value).map(({ name, serving, description, detail }) => ({
    label: serving ? `$(check) ${name}` : name, description, detail,
  }));
  const add = [ADD_FOLDER, ADD_GGUF, ADD_FROM_HUB].map((label) => ({ label }));
  const separator = { label: "", kind: QuickPickItemKind.Separator };
  const picked = await pick([...models, separator, ...add], listing.value.notices[0] ?? "Which model should complete?");
  if (picked === undefined) {
    return;
  }
  const name = add.some(({ label }) => label === picked) ? await addModel(own, cwd, picked) : picked.replace("$(check) ", "");
  if (name !== undefined) {
    await useModel(own, name, folder);
  }
}

/** Adds the model that the user names in a dialogue; its name, undefined if there is none. */
async function addModel(context: CommandContext, cwd: string, how: string): Promise<string | undefined> {
  const source = how === ADD_FROM_HUB ? await askAddress() : await askPath(how === ADD_GGUF);
  if (source === undefined) {
    return undefined;
  }
  const added = await runWithNotice<Added>(context, cwd, `Adding ${source}`, ["model", "add", source]);
  if (!added.ok) {
    showOutcome(added, () => "");
    return undefined;
  }
  return added.value.name;
}

async function askAddress(): Promise<string | undefined> {
  const prompt = "The model is downloaded from this address, and pinned to the commit that it has now.";
  const value = "hf://";
  const validateInput = (text: string) => (/^hf:\/\/[^/]+\/.+/.test(text.trim()) ? undefined : "hf://OWNER/NAME@REVISION");
  return (await window.showInputBox({ title: "Attune: Add a Model", prompt, value, validateInput, ignoreFocusOut: true }))?.trim();
}

async function askPath(isGguf: boolean): Promise<string | undefined> {
  const options: OpenDialogOptions = isGguf
    ? { title: "Add a GGUF File", canSelectFiles: true, filters: { GGUF: ["gguf"] }, openLabel: "Add" }
    : { title: "Add a Model's Folder", canSelectFiles: false, canSelectFolders: true, openLabel: "Add" };
  return (await window.showOpenDialog(options))?.[0]?.fsPath;
}

async function useModel(context: CommandContext, name: string, folder: string | null): Promise<void> {
  const places: QuickPickItem[] = [
    { label: EVERYWHERE, description: "your default, where no repository names another" },
    ...(folder === null ? [] : [{ label: IN_REPOSITORY, description: "written to .attune/attune.toml, by name" }]),
  ];
  const where = folder === null ? EVERYWHERE : await pick(places, `Where should ${name} complete?`);
  if (where === undefined) {
    return;
  }
  const outcome = await runWithNotice(context, folder ?? os.homedir(), TITLE, useArguments(name, where === EVERYWHERE ? null : folder));
  showOutcome(outcome, () => `${name} completes ${where === EVERYWHERE ? "wherever no repository names another" : "in this repository"}.`);
  const { model } = readSettings();
  if (outcome.ok && model !== null && model !== name) {
    const clear = "Clear the Setting";
    if ((await window.showInformationMessage(`Attune: the setting attune.model names ${model}, which goes first.`, clear)) === clear) {
      await clearModelSetting();
    }
  }
}

async function pick(items: QuickPickItem[], placeHolder: string): Promise<string | undefined> {
  return (await window.showQuickPick(items, { title: `Attune: ${TITLE}`, placeHolder, matchOnDetail: true, ignoreFocusOut: true }))?.label;
}

/** The workspace folder of the file in front, else the first one. */
function repositoryFolder(): string | null {
  const open = window.activeTextEditor?.document.uri;
  const own = open === undefined ? undefined : workspace.getWorkspaceFolder(open)?.uri.fsPath;
  return own ?? workspaceFolder() ?? null;
}
