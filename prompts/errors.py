"""Every way a prompt file can fail; each message is one sentence: what is wrong and what to do."""


class PromptError(Exception):
    """Base of every error that this package raises for a prompt file."""


class NotAPromptFile(PromptError):
    """The path is missing, unreadable, or holds something other than an Attune prompt."""


class UnsupportedVersion(PromptError):
    """The file is an Attune prompt of a format version that this release does not read."""


class CorruptPrompt(PromptError):
    """The file says it is an Attune prompt but breaks the format."""


class IncompatiblePrompt(PromptError):
    """The prompt is sound but was tuned for another model, tokenizer, layout or shape."""


class PromptWriteError(PromptError):
    """The prompt was not written; whatever stood at the path before is still there, whole."""


class UntrustedPrompt(PromptError):
    """The prompt is sound, but nobody whom the user trusts vouches for it."""


class ConfigurationError(PromptError):
    """An `attune.toml` cannot be read or breaks its rules."""


class StoreError(PromptError):
    """The store of the repository or of the user cannot do what was asked."""


class RegistryError(PromptError):
    """A registry of shared prompts cannot be read or written, or holds something else."""
