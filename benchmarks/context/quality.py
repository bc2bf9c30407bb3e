"""What each source of context is worth: characters saved at places of unseen files.

Completes the same places of packages that the default model was not trained on, by the path that
serves, with the context built in several ways. Each is compared with the context that ships, where
equally many characters are wrong, paired, with intervals over files. Random code of the same
repository, in place of retrieved code, is a control. Recent edits cannot be replayed: there are
none in an archive.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.acceptance import ALL, Package, compare, comparison_table, pooled
from code_context.context import ContextConfig
from code_context.index import RepositoryIndex
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.syntax import SyntaxTree
from code_model.language_model import LanguageModel
from tuning.acceptance import Replay
from tuning.corpus import SourceFile, collect
from tuning.proof import Condition

SHIPPED = "as shipped"
DEFAULT = ContextConfig()
SIMILAR = replace(DEFAULT, sources=(("similar", 1.0),))
DEFINITIONS = replace(DEFAULT, sources=(("definition", 1.0),))


@dataclass(frozen=True)
class Way:
    """One way to build the context. `retrieved`: "chosen", "random", or None for no other file."""

    config: ContextConfig = DEFAULT
    retrieved: str | None = "chosen"


SOURCES: dict[str, Way] = {
    SHIPPED: Way(),
    "plain window": Way(replace(DEFAULT, max_header_tokens=0), None),
    "window and header": Way(DEFAULT, None),
    "random code": Way(SIMILAR, "random"),
    "definitions": Way(DEFINITIONS),
    "similar code": Way(SIMILAR),
    "no header": Way(replace(DEFAULT, max_header_tokens=0)),
}
BUDGETS: dict[str, Way] = {
    "128 tokens of other files": Way(replace(DEFAULT, max_snippet_tokens=128)),
    "512 tokens of other files": Way(replace(DEFAULT, max_snippet_tokens=512)),
    "768 tokens of other files": Way(replace(DEFAULT, max_snippet_tokens=768)),
    "512 tokens of similar code": Way(replace(SIMILAR, max_snippet_tokens=512)),
    "768 tokens before the cursor": Way(replace(DEFAULT, max_prefix_tokens=768)),
    "256 tokens after the cursor": Way(replace(DEFAULT, max_suffix_tokens=256)),
    "similar code nearest": Way(replace(DEFAULT, order=("recent", "definition", "similar"))),
}
WAYS = SOURCES | BUDGETS


class RandomCode(Retriever):
    """A control: chunks of other files, drawn at random."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        super().__init__(RepositoryIndex())
        self._files = files

    def snippets(self, tree: SyntaxTree, path: str, offset: int) -> list[Snippet]:
        """As many chunks as the budget can hold, the same for the same cursor."""
        rng = random.Random(f"{path}/{offset}")
        drawn = []
        for file in rng.sample(self._files, min(8, len(self._files))):
            if file.path != path:
                lines = file.text.splitlines(keepends=True)
                start = rng.randrange(max(1, len(lines) - 12))
                text = "".join(lines[start : start + rng.randint(6, 24)])
                drawn.append(Snippet(file.path, text, "similar", 0.0, start))
        return drawn


def measure(
    model: LanguageModel,
    folders: Mapping[str, Path],
    places: int,
    cache: Path,
    ways: Sequence[str],
    on_way: Callable[[str, str], None] = lambda package, way: None,
) -> dict[str, Any]:
    """Scores of each way by package and of all together; the first way is compared with.

    `on_way` is called with package and way before they are measured. What `cache` has is not
    measured again.
    """
    replays: dict[str, dict[str, Replay]] = {}
    for name, folder in folders.items():
        package = Package.of(folder, places, None, cache)
        control = replace(package, retriever=RandomCode(collect(folder).files))
        replays[name] = {}
        for way in ways:
            on_way(name, way)
            one = WAYS[way]
            served = f"{model.identity.model_fingerprint} {model.runtime}"
            replays[name][way] = (control if one.retrieved == "random" else package).replay(
                f"{served} {one}", Condition(model, None, one.retrieved is not None), one.config
            )
    together = {**replays, ALL: pooled(replays)}
    packages = {
        name: compare(each, ways[0], model.show_thresholds) for name, each in together.items()
    }
    return {"runtime": asdict(model.runtime), "packages": packages}


def show(figures: Mapping[str, Any], console: Console) -> None:
    """A row for each package and way; suggestions at the balanced threshold."""
    title = "Suggestions, and characters saved against the first context at equal wrong"
    console.print(comparison_table(title, figures["packages"]))
