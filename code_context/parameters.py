"""A context's parameters as JSON: what a prompt file says of the context that it was tuned with.

A file from elsewhere may say anything, so every value is checked and bounded; nothing is guessed,
because other parameters than those of the tuning would give the model another input.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from code_context.context import ContextConfig, Source

SOURCES: tuple[Source, ...] = get_args(Source)
# whole numbers, from the smallest to the largest that make sense
BOUNDS = {
    "max_prefix_tokens": (1, 16_384),
    "max_suffix_tokens": (0, 16_384),
    "max_header_tokens": (0, 4_096),
    "max_snippet_tokens": (0, 16_384),
    "block_lines": (1, 256),
}
NAMES = (*BOUNDS, "sources", "order")


class ContextParametersError(ValueError):
    """Parameters that cannot be used; the message says which and what they must be."""


def described(config: ContextConfig) -> dict[str, Any]:
    """All parameters, whatever the defaults of another release are; none of the defaults here."""
    if config == ContextConfig():
        return {}
    told = asdict(config)
    return {
        **{name: told[name] for name in BOUNDS},
        "sources": [[source, share] for source, share in config.sources],
        "order": list(config.order),
    }


def understood(parameters: Mapping[str, Any]) -> ContextConfig:
    """The context of `described`; nothing described is the default.

    Raises `ContextParametersError` if a parameter is missing, unknown or out of its bounds.
    """
    if not parameters:
        return ContextConfig()
    unknown = sorted(parameters.keys() - set(NAMES))
    if unknown:
        raise ContextParametersError(f"this Attune knows no parameter {unknown[0][:40]!r}")
    missing = [name for name in NAMES if name not in parameters]
    if missing:
        raise ContextParametersError(f"it lacks {missing[0]}")
    return ContextConfig(
        **{name: _whole_number(name, parameters[name]) for name in BOUNDS},
        sources=_shares(parameters["sources"]),
        order=_order(parameters["order"]),
    )


def _whole_number(name: str, value: Any) -> int:
    low, high = BOUNDS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ContextParametersError(f"{name} must be a whole number from {low} to {high}")
    return value


def _shares(value: Any) -> tuple[tuple[Source, float], ...]:
    pairs = value if isinstance(value, list) and len(value) <= len(SOURCES) else [None]
    shares: dict[Source, float] = {}
    for pair in pairs:
        name, share = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if name not in SOURCES or name in shares or not _is_share(share):
            raise ContextParametersError(
                f"sources must be a list of pairs, each of one of {', '.join(SOURCES)}, named "
                "once, and a share from 0 to 1"
            )
        shares[name] = float(share or 0)
    return tuple(shares.items())


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _order(value: Any) -> tuple[Source, ...]:
    names = value if isinstance(value, list) and len(value) == len(SOURCES) else []
    if any(name not in names for name in SOURCES):
        raise ContextParametersError(f"order must name {', '.join(SOURCES)}, each once")
    return tuple(names)
