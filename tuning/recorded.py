"""What a prompt file says of its own proof: which files it held out, and how they are measured.

A file from elsewhere may say anything. Measured on other files than those held out, a prompt would
look better than it is, so nothing is guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prompts.manifest import Manifest
from tuning.config import MAX_SEED
from tuning.corpus import CorpusError, SourceFile
from tuning.split import Split, digest

MAX_FILES = 4096
_DIGEST = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Recorded:
    """Seed and size of the proof, and the files of its two sides by `tuning.split.digest`."""

    seed: int
    held_out_tokens: int
    test_holes: int
    validation_files: frozenset[str]
    test_files: frozenset[str]


def recorded(manifest: Manifest) -> Recorded:
    """Read the recipe of a prompt; raises `CorpusError` if it does not say what was held out."""
    numbers: dict[str, int] = {}
    for name, largest in (("seed", MAX_SEED), ("held_out_tokens", 4096), ("test_holes", 4096)):
        value = manifest.recipe.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            raise _silent(manifest, name)
        numbers[name] = value
    sides: dict[str, frozenset[str]] = {}
    for name in ("validation_files", "test_files"):
        value = manifest.recipe.get(name)
        listed = value if isinstance(value, list) and len(value) <= MAX_FILES else []
        digests = [one for one in listed if isinstance(one, str) and _DIGEST.fullmatch(one)]
        if not digests or len(digests) != len(listed):
            raise _silent(manifest, name)
        sides[name] = frozenset(digests)
    return Recorded(
        numbers["seed"],
        numbers["held_out_tokens"],
        numbers["test_holes"],
        sides["validation_files"],
        sides["test_files"],
    )


def recorded_split(files: Sequence[SourceFile], known: Recorded) -> Split:
    """The prompt's own split again: what it held out stays held out, all else may be tuned on.

    Raises `CorpusError` if a side is empty.
    """
    digests = {digest(file.path): file for file in files}
    validation = tuple(digests[one] for one in digests if one in known.validation_files)
    test = tuple(digests[one] for one in digests if one in known.test_files)
    held_out = known.validation_files | known.test_files
    train = tuple(digests[one] for one in digests if one not in held_out)
    if not (train and validation and test):
        raise CorpusError(
            "The files that the prompt held out, or all others, are not here; name the repository "
            "that it was tuned on, or tune anew."
        )
    return Split(train, validation, test)


def _silent(manifest: Manifest, name: str) -> CorpusError:
    return CorpusError(
        f"Prompt {manifest.name!r} does not say in its recipe which files it held out ({name}), "
        "so it cannot be measured; tune it again."
    )
