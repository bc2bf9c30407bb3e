"""Ask once before behaviour from outside is put anywhere."""

import sys

import typer

from attune.output import say
from prompts.errors import UntrustedPrompt
from prompts.manifest import Manifest
from prompts.trust import Standing, consent


class ConsentRequiredError(UntrustedPrompt):
    """The prompt is sound, and its signature, if it has one, holds; the user has not consented."""


def ask(manifest: Manifest, sha256: str, found: Standing, *, given: bool) -> None:
    """Return if the user trusts the prompt: already, by an option that was `given`, or when asked.

    Raises `ConsentRequiredError` if not, or if stdin is no terminal to ask on.
    """
    if found.consented:
        return
    who = f"Prompt {manifest.name!r} ({sha256[:12]}) is {found.words}."
    if not given and sys.stdin.isatty():
        what = "this file" if found.signer is None else "this key, for all its prompts"
        say(who)
        given = typer.confirm(f"A prompt steers completions. Trust {what}?", err=True)
    if not given:
        refusal = ConsentRequiredError(
            f"{who} A prompt steers completions, so find out who made it before you trust it."
        )
        refusal.add_note("--trust gives your consent.")
        raise refusal
    consent(manifest.name, sha256, found)
