"""Ask for consent before a prompt from outside is stored or serves."""

import sys
from typing import TYPE_CHECKING

import typer

from attune.output import say
from prompts.errors import UntrustedPrompt

if TYPE_CHECKING:
    from prompts.manifest import Manifest
    from prompts.trust import Trust


class ConsentRequiredError(UntrustedPrompt):
    """The prompt is valid, and so is its signature if it has one; the user has not consented."""


def require_consent(manifest: "Manifest", sha256: str, trust: "Trust", *, given: bool) -> None:
    """Return if the user trusts the prompt already, consents by option (`given`) or when asked.

    Only a user at a terminal is asked. Raises `ConsentRequiredError` without consent.
    """
    from prompts.trust import consent

    if trust.trusted:
        return
    status = f"Prompt {manifest.name!r} ({sha256[:12]}) is {trust.words}."
    if not given and sys.stdin.isatty():
        what = "this file" if trust.signer is None else "this key, for all its prompts"
        say(status)
        given = typer.confirm(f"A prompt steers completions. Trust {what}?", err=True)
    if not given:
        refusal = ConsentRequiredError(
            f"{status} A prompt steers completions, so find out who made it before you trust it."
        )
        refusal.add_note("--trust gives your consent.")
        raise refusal
    consent(manifest.name, sha256, trust)
