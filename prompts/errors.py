"""The errors of this package; each message is one sentence: what is wrong and what to do."""


class PromptError(Exception):
    """Base of every error that this package raises."""


class NotAPromptFile(PromptError):
    """The path is missing, unreadable, or holds something other than an Attune prompt."""


class UnsupportedVersion(PromptError):
    """The file is an Attune prompt of a format version that this release does not read."""


class CorruptPrompt(PromptError):
    """The file claims to be an Attune prompt but breaks the format."""


class IncompatiblePrompt(PromptError):
    """The prompt is valid but was tuned for another model, tokenizer, layout or shape."""


class PromptWriteError(PromptError):
    """The prompt was not written; the file that was at the path before is unchanged."""


class UntrustedPrompt(PromptError):
    """The prompt is valid, but the user trusts neither its signer nor the file."""


class ConfigurationError(PromptError):
    """An `attune.toml` cannot be read or breaks its rules."""


class StoreError(PromptError):
    """A prompt cannot be found in, added to or removed from the repository or the user's store."""


class RegistryError(PromptError):
    """A registry of shared prompts cannot be read or written, or its content is damaged."""
