/** The errors of attune's command line; docs/protocol.md lists their codes. Knows nothing of VS Code. */

const ERROR_CODES = [
  "audit_required",
  "configuration_invalid",
  "consent_required",
  "download_failed",
  "files_unusable",
  "internal",
  "interrupted",
  "model_name_invalid",
  "model_unknown",
  "model_unusable",
  "not_a_prompt_file",
  "position_invalid",
  "prompt_corrupt",
  "prompt_failed",
  "prompt_incompatible",
  "prompt_untrusted",
  "prompt_version_unsupported",
  "registry_failed",
  "store_failed",
  "usage",
  "write_failed",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** `message` is a sentence for people; decisions are made by `code`. */
export interface CommandError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Whether a value has the shape of an error, with a code of the list. */
export function isCommandError(value: unknown): value is CommandError {
  const { code, message } = (value ?? {}) as { code?: unknown; message?: unknown };
  return typeof message === "string" && ERROR_CODES.some((known) => known === code);
}
