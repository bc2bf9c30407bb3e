/** “Publish Prompt…”: shares one of the repository's prompts as the newest version of its name. */

import * as path from "node:path";
import { window } from "vscode";
import type { CommandContext } from "./process";
import { askRegistry, type Registry, runWithNotice, showOutcome } from "./registryCommand";
import { findPromptFiles } from "./usePrompt";

const TITLE = "Publish Prompt";
const ANYWAY = "Publish Anyway";
const AUDIT = "Audit It First";

/** The result of `attune prompt push --json`. */
interface Published {
  readonly name: string;
  readonly version: number;
  readonly registry: string;
  readonly signed: boolean;
}

/** What of the result of `attune prompt audit --json` is shown; problems are sentences. */
interface AuditResult {
  readonly passed: boolean;
  readonly problems: readonly string[];
}

export async function publishPrompt(context: CommandContext): Promise<void> {
  const files = (await findPromptFiles()).map((uri) => uri.fsPath).sort();
  if (files.length === 0) {
    void window.showWarningMessage("Attune: there is no prompt to publish; tune one first.");
    return;
  }
  const items = files.map((file) => ({ label: path.basename(file), description: path.dirname(file), file }));
  const chosen = items.length === 1 ? items[0] : await window.showQuickPick(items, { title: `Attune: ${TITLE}` });
  const registry = chosen && (await askRegistry(TITLE));
  if (chosen !== undefined && registry !== undefined) {
    await push(context, registry, chosen.file);
  }
}

/** Publishes a file. One without a passed audit is published only after the user has decided. */
async function push(context: CommandContext, { folder, options }: Registry, file: string): Promise<void> {
  const publish = (...more: string[]) => runWithNotice<Published>(context, folder, TITLE, ["prompt", "push", file, ...options, ...more]);
  const published = await publish();
  if (published.ok || published.error.code !== "audit_required") {
    showOutcome(published, sentenceAbout);
    return;
  }
  let choice = await ask(
    "this prompt has not passed an audit.",
    "It might give away code or secrets of the repository. An audit looks for that, and takes about as long as tuning.",
    AUDIT,
    ANYWAY,
  );
  if (choice === AUDIT) {
    const audit = await runWithNotice<AuditResult>(context, folder, "Auditing a prompt", ["prompt", "audit", file, "--repository", folder]);
    if (!audit.ok) {
      showOutcome(audit, () => "");
      return;
    }
    if (audit.value.passed) {
      showOutcome(await publish(), sentenceAbout);
      return;
    }
    choice = await ask("this prompt did not pass its audit.", audit.value.problems.join("\n\n"), ANYWAY);
  }
  if (choice === ANYWAY) {
    showOutcome(await publish("--force"), sentenceAbout);
  }
}

function ask(message: string, detail: string, ...choices: string[]): Thenable<string | undefined> {
  return window.showWarningMessage(`Attune: ${message}`, { modal: true, detail }, ...choices);
}

function sentenceAbout({ name, version, registry, signed }: Published): string {
  return `${name} version ${version} is in ${registry}${signed ? "" : ", not signed"}.`;
}
