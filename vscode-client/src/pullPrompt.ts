/** “Pull Prompt…”: takes a prompt from a registry. */

import { window } from "vscode";
import type { CommandContext } from "./process";
import { askRegistry, runWithNotice, showOutcome } from "./registryCommand";
import { listedPrompts, type RegistryListing } from "./registryListing";

const TITLE = "Pull Prompt";

/** The result of `attune prompt pull --json`. */
interface Pulled {
  readonly name: string;
  readonly version: number;
  readonly registry: string;
}

/**
 * Takes the newest version of a prompt for this model from a registry; the user chooses the name where there are
 * several. A prompt that the user has not consented to is taken only after a question.
 */
export async function pullPrompt(context: CommandContext): Promise<void> {
  const registry = await askRegistry(TITLE);
  if (registry === undefined) {
    return;
  }
  const { folder, options } = registry;
  const listing = await runWithNotice<RegistryListing>(context, folder, TITLE, ["prompt", "versions", ...options]);
  // Where a registry cannot be listed, attune takes the repository's own name.
  const prompts = listing.ok ? listedPrompts(listing.value) : [];
  let name: string | undefined = prompts[0]?.name;
  if (prompts.length > 1) {
    const items = prompts.map(({ name: label, description }) => ({ label, description }));
    name = (await window.showQuickPick(items, { title: `Attune: ${TITLE}`, placeHolder: "Which prompt?", ignoreFocusOut: true }))?.label;
    if (name === undefined) {
      return;
    }
  }
  const args = ["prompt", "pull", ...(name === undefined ? [] : [name]), ...options];
  let outcome = await runWithNotice<Pulled>(context, folder, TITLE, args);
  if (!outcome.ok && outcome.error.code === "consent_required") {
    const trust = "Trust and Use";
    const question = { modal: true, detail: outcome.error.message };
    if ((await window.showWarningMessage("Attune: trust this prompt?", question, trust)) !== trust) {
      return;
    }
    outcome = await runWithNotice<Pulled>(context, folder, TITLE, [...args, "--trust"]);
  }
  showOutcome(outcome, ({ name, version, registry }) => `${name} version ${version} of ${registry} was put into .attune.`);
}
