"""What a prompt file claims to have gained, in words: what people see first, then bits."""

from collections.abc import Mapping
from typing import Any

from prompts.manifest import Manifest


def gain_words(manifest: Manifest) -> str | None:
    """The claim in a few words; None if the file makes none.

    A file may hold anything under `measured`; what is no number counts as not measured.
    """
    acceptance = manifest.measured.get("acceptance")
    saved, low = _characters(acceptance if isinstance(acceptance, Mapping) else {})
    if saved is not None and low is not None and low > 0:
        return f"saves {100 * saved:.0f} % more characters on unseen files"
    if manifest.gain is None:
        return None
    bits = f"saves {100 * manifest.gain:.1f} % of the bits of unseen files"
    return bits if saved is None else f"{bits}, not surely more characters"


def _characters(acceptance: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Characters saved, as a share of those without the prompt, and the interval's lower end."""
    gain, low = acceptance.get("gain"), acceptance.get("gain_low")
    return _number(gain), _number(low)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
