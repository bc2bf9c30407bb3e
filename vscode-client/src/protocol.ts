/** The messages that Attune adds to the language server protocol; docs/protocol.md specifies them. */

import { type InlineCompletionItem, NotificationType, RequestType } from "vscode-languageclient/node";

/** What the status bar shows; `message` is a sentence or two, `prompt` the prompt in use. */
export interface Status {
  readonly kind: "Normal" | "Warning" | "Error" | "Inactive";
  readonly busy: boolean;
  readonly message: string;
  readonly prompt?: string | null;
}

/** A prompt is told as its name, an @ and the first digits of its hash. */
export function promptName(prompt: string): string {
  return prompt.replace(/@[0-9a-f]*$/, "");
}

/** Why the latest request offered nothing, as a code and in words; null: it offered something. */
export interface Silence {
  readonly reason: string | null;
  readonly message: string | null;
}

/** Figures of the suggestions that were made with the prompt or without it; characters are per suggestion. */
export interface Arm {
  readonly suggestions: number;
  readonly accepted: number;
  readonly partially_accepted: number;
  readonly rejected: number;
  readonly characters_taken: number;
  readonly kept_after_15_s: number | null;
  readonly kept_after_120_s: number | null;
  readonly kept_after_600_s: number | null;
}

export interface Comparison {
  readonly verdict: "unknown" | "worth it" | "worth nothing";
  readonly difference: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

export interface Statistics {
  readonly file: string | null;
  readonly prompt: string | null;
  readonly with_prompt: Arm;
  readonly without_prompt: Arm;
  readonly comparison: Comparison;
}

export const didChangeStatus = new NotificationType<Status>("attune/didChangeStatus");
export const didStaySilent = new NotificationType<Silence>("attune/didStaySilent");
export const didFindPromptWorthless = new NotificationType<{ readonly prompt: string }>("attune/didFindPromptWorthless");
export const didFocus = new NotificationType<{ readonly textDocument: { readonly uri: string } }>("textDocument/didFocus");

/** UTF-16 units from the start of the item's text, all accepted so far. */
export interface PartialAcceptance {
  readonly item: InlineCompletionItem;
  readonly acceptedLength: number;
}

export const didPartiallyAccept = new NotificationType<PartialAcceptance>("textDocument/didPartiallyAcceptCompletion");

/** What served the latest answer in a document; null: there was none. */
export interface Why {
  readonly source: "model" | "cache" | "adopted";
  readonly computed: number | null;
  readonly reason: string | null;
  readonly message: string;
}

export const why = new RequestType<{ readonly textDocument: { readonly uri: string } }, Why | null, void>("attune/why");
export const statistics = new RequestType<Record<string, never>, Statistics, void>("attune/statistics");
