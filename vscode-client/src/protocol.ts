/** The messages that Attune adds to the language server protocol; docs/protocol.md specifies them. */

import { type InlineCompletionItem, NotificationType, RequestType } from "vscode-languageclient/node";

/**
 * What the status bar shows; `message` is one or two sentences for people, `prompt` the prompt in use, `model` the
 * model that answers.
 */
export interface Status {
  readonly kind: "Normal" | "Warning" | "Error" | "Inactive";
  readonly busy: boolean;
  readonly message: string;
  readonly prompt?: string | null;
  readonly model?: string | null;
}

/** The name of a prompt, which the protocol writes as name, @ and the first digits of the hash. */
export function promptName(prompt: string): string {
  return prompt.replace(/@[0-9a-f]*$/, "");
}

/** Why the latest request had an empty answer, as a code and in words; null: it had a suggestion. */
export interface EmptyReason {
  readonly reason: string | null;
  readonly message: string | null;
}

/** Suggestions of one arm of the A/B test; retained characters are means per place, with a suggestion or without. */
export interface ArmSummary {
  readonly places: number;
  readonly suggestions: number;
  readonly accepted: number;
  readonly partially_accepted: number;
  readonly rejected: number;
  readonly characters_accepted: number;
  readonly retained_after_15_s: number | null;
  readonly retained_after_120_s: number | null;
  readonly retained_after_600_s: number | null;
}

/** Retained characters per suggestion, with the prompt minus without it, and the ends of the confidence sequence. */
export interface AbTestResult {
  readonly verdict: "unknown" | "gain" | "no_gain";
  readonly difference: number | null;
  readonly low: number | null;
  readonly high: number | null;
}

export interface Statistics {
  readonly file: string | null;
  readonly prompt: string | null;
  readonly with_prompt: ArmSummary;
  readonly without_prompt: ArmSummary;
  readonly ab_test: AbTestResult;
}

export const didChangeStatus = new NotificationType<Status>("attune/didChangeStatus");
export const didChangeEmptyReason = new NotificationType<EmptyReason>("attune/didChangeEmptyReason");
export const didFindNoGain = new NotificationType<{ readonly prompt: string }>("attune/didFindNoGain");
export const didFocus = new NotificationType<{ readonly textDocument: { readonly uri: string } }>("textDocument/didFocus");

/** UTF-16 units from the start of the item's text, all accepted so far. */
export interface PartialAcceptance {
  readonly item: InlineCompletionItem;
  readonly acceptedLength: number;
}

export const didPartiallyAccept = new NotificationType<PartialAcceptance>("textDocument/didPartiallyAcceptCompletion");

/** How the latest answer in a document came about. */
export interface LatestResult {
  readonly source: "model" | "cache" | "adopted";
  readonly prefilled: number | null;
  readonly reason: string | null;
  readonly message: string;
}

export const latestResult = new RequestType<{ readonly textDocument: { readonly uri: string } }, LatestResult | null, void>(
  "attune/latestResult",
);
export const statistics = new RequestType<Record<string, never>, Statistics, void>("attune/statistics");
