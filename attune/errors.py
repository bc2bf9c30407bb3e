"""Errors that the command line expects: what a program reads of them, and the exit code.

With `--json` an error is one JSON object on stdout, `{"error": {"code": …, "message": …}}`, and
`code` is an `ErrorCode`. The message also goes to stderr. docs/protocol.md lists all codes;
vscode-client/src/errors.ts mirrors them.
"""

from enum import StrEnum
from typing import Final

from typer.exceptions import TyperException

from attune.output import BAD_INPUT, INTERNAL_ERROR, PROBLEM, print_json, say


class ErrorCode(StrEnum):
    """The closed list of machine-readable error codes."""

    USAGE = "usage"
    POSITION_INVALID = "position_invalid"
    MODEL_UNUSABLE = "model_unusable"
    MODEL_UNKNOWN = "model_unknown"
    MODEL_NAME_INVALID = "model_name_invalid"
    DOWNLOAD_FAILED = "download_failed"
    FILES_UNUSABLE = "files_unusable"
    NOT_A_PROMPT_FILE = "not_a_prompt_file"
    PROMPT_VERSION_UNSUPPORTED = "prompt_version_unsupported"
    PROMPT_CORRUPT = "prompt_corrupt"
    PROMPT_INCOMPATIBLE = "prompt_incompatible"
    PROMPT_UNTRUSTED = "prompt_untrusted"
    CONSENT_REQUIRED = "consent_required"
    AUDIT_REQUIRED = "audit_required"
    PROMPT_FAILED = "prompt_failed"
    WRITE_FAILED = "write_failed"
    CONFIGURATION_INVALID = "configuration_invalid"
    STORE_FAILED = "store_failed"
    REGISTRY_FAILED = "registry_failed"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


class InterruptedRunError(Exception):
    """Ctrl-C ended the command before there was a result; nothing was written."""


# By qualified name, so that no module is imported for the sake of its exceptions. A class that is
# not listed is reported as its nearest listed base.
EXPECTED: Final[dict[str, tuple[ErrorCode, int]]] = {
    "attune.consent.ConsentRequiredError": (ErrorCode.CONSENT_REQUIRED, BAD_INPUT),
    "attune.cursor.CursorPositionError": (ErrorCode.POSITION_INVALID, BAD_INPUT),
    "attune.errors.InterruptedRunError": (ErrorCode.INTERRUPTED, PROBLEM),
    "attune.pages.template.PageWriteError": (ErrorCode.WRITE_FAILED, BAD_INPUT),
    "attune.sharing_commands.AuditRequiredError": (ErrorCode.AUDIT_REQUIRED, BAD_INPUT),
    "code_context.positions.PositionError": (ErrorCode.POSITION_INVALID, BAD_INPUT),
    "code_model.hub_download.DownloadError": (ErrorCode.DOWNLOAD_FAILED, BAD_INPUT),
    "code_model.language_model.ModelLoadError": (ErrorCode.MODEL_UNUSABLE, BAD_INPUT),
    "code_model.out_of_memory.OutOfModelMemoryError": (ErrorCode.MODEL_UNUSABLE, BAD_INPUT),
    "code_model.model_addition.ModelNameError": (ErrorCode.MODEL_NAME_INVALID, BAD_INPUT),
    "code_model.model_resolution.UnknownModelError": (ErrorCode.MODEL_UNKNOWN, BAD_INPUT),
    "prompts.errors.ConfigurationError": (ErrorCode.CONFIGURATION_INVALID, BAD_INPUT),
    "prompts.errors.CorruptPrompt": (ErrorCode.PROMPT_CORRUPT, BAD_INPUT),
    "prompts.errors.IncompatiblePrompt": (ErrorCode.PROMPT_INCOMPATIBLE, BAD_INPUT),
    "prompts.errors.NotAPromptFile": (ErrorCode.NOT_A_PROMPT_FILE, BAD_INPUT),
    "prompts.errors.PromptError": (ErrorCode.PROMPT_FAILED, BAD_INPUT),
    "prompts.errors.PromptWriteError": (ErrorCode.WRITE_FAILED, BAD_INPUT),
    "prompts.errors.RegistryError": (ErrorCode.REGISTRY_FAILED, BAD_INPUT),
    "prompts.errors.StoreError": (ErrorCode.STORE_FAILED, BAD_INPUT),
    "prompts.errors.UnsupportedVersion": (ErrorCode.PROMPT_VERSION_UNSUPPORTED, BAD_INPUT),
    "prompts.errors.UntrustedPrompt": (ErrorCode.PROMPT_UNTRUSTED, BAD_INPUT),
    "tuning.corpus.CorpusError": (ErrorCode.FILES_UNUSABLE, BAD_INPUT),
}


def classify(error: Exception) -> tuple[ErrorCode, int]:
    """The code and the exit code of an error."""
    if isinstance(error, TyperException):
        return ErrorCode.USAGE, error.exit_code
    for kind in type(error).__mro__:
        if (expected := EXPECTED.get(f"{kind.__module__}.{kind.__qualname__}")) is not None:
            return expected
    return ErrorCode.INTERNAL, INTERNAL_ERROR


def report_error(error: Exception, *, as_json: bool) -> int:
    """Report an error on stderr, with `as_json` also as an object on stdout; the exit code.

    The notes of an exception (PEP 678) are advice for the terminal: they go to stderr alone.
    """
    code, exit_code = classify(error)
    if isinstance(error, TyperException):
        message = error.format_message()
        error.show()  # type: ignore[attr-defined] # with the command's usage; that class is private
    elif code is ErrorCode.INTERNAL:
        message = f"internal error ({type(error).__name__}: {error})"
        say(f"{message}; run again with -v for a traceback.")
    else:
        message = str(error)
        for sentence in (message, *getattr(error, "__notes__", ())):
            say(sentence)
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    return exit_code
