"""Ask once before behaviour from outside is put anywhere."""

import sys

import typer

from attune.output import say
from prompts.errors import UntrustedPrompt
from prompts.manifest import Manifest
from prompts.trust import Standing, consent


def ask(manifest: Manifest, sha256: str, found: Standing, *, given: bool) -> None:
    """Return if the user trusts the prompt: already, by an option that was `given`, or when asked.

    Raises `UntrustedPrompt` if not, or if there is nobody to ask.
    """
    if found.consented:
        return
    who = f"Prompt {manifest.name!r} ({sha256[:12]}) is {found.words}."
    if not given and sys.stdin.isatty():
        what = "this file" if found.signer is None else "this key, for all its prompts"
        say(who)
        given = typer.confirm(f"A prompt steers completions. Trust {what}?", err=True)
    if not given:
        raise UntrustedPrompt(
            f"{who} A prompt steers completions: find out who made it, then give --trust."
        )
    consent(manifest.name, sha256, found)
