"""The choice of a model: its files, and the engine, device and precision that compute it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from code_model.team_server import TeamServer

DEFAULT = Path(__file__).parent / "default"
"""The folder of the model that is shipped."""

Engine = Literal["decoder", "transformers", "llama.cpp"]


@dataclass(frozen=True)
class RecordedFile:
    """A file of a model as it was when the user added the model.

    `sha256` is in hex, `mtime_ns` the time of its last change.
    """

    path: Path
    size: int
    mtime_ns: int
    sha256: str

    def is_unchanged(self) -> bool:
        """Whether size and time of the file are as recorded. Raises `OSError` without a file."""
        status = self.path.stat()
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True)
class ModelChoice:
    """A model folder or `.gguf` file, and what computes it. None stands for the best available.

    `device` and `precision` are torch's names ("cpu", "cuda:1"; "float32", "bfloat16");
    `quantisation` names a scheme of the engine for weights that are quantised while they load.
    `layout` names a FIM template for a model whose tokenizer and `attune.json` do not tell it.
    `files` are those that were recorded when the user added the model; without them, the files are
    taken as they are. With a `server`, that one computes the model, and `fallback` (None: the same
    model) answers on this machine while it does not.
    """

    path: Path = DEFAULT
    engine: Engine | None = None
    device: str | None = None
    precision: str | None = None
    quantisation: str | None = None
    layout: str | None = None
    files: tuple[RecordedFile, ...] = ()
    server: TeamServer | None = None
    fallback: "ModelChoice | None" = None

    @property
    def without_server(self) -> "ModelChoice":
        """The same model, computed on this machine."""
        return replace(self, server=None, fallback=None)

    @property
    def on_this_machine(self) -> "ModelChoice":
        """What answers while the server does not; without a server, itself."""
        return self.fallback or self.without_server
