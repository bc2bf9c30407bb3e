"""The engine behind the server: the frozen model with the prompt file of the moment.

It imports torch, so only the engine thread imports this module.
"""

from collections.abc import Callable
from pathlib import Path

from code_model.completion import complete
from code_model.engine import Engine
from code_model.loading import BaseModel, ModelLoadError, load_model
from lsp_server.engine import Answer, Complete, CompletionRequest, EngineError, Tell
from lsp_server.protocol import Status
from lsp_server.settings import Settings
from prompts.errors import PromptError
from prompts.file import DEFAULT_PROMPT, PromptFile, read_prompt
from prompts.manifest import Manifest
from prompts.repository import UNPROVEN

WITHOUT_PROMPT = Status(
    "Normal", False, 'Ready without a prompt; run "attune tune" in this repository.'
)


def open_engine(settings: Settings, root: Path | None, tell: Tell) -> Complete:
    """Load the model and the prompt that the settings name, else the one of the folder `root`.

    Raises `EngineError` if the model cannot be loaded; a prompt that cannot be used is told.
    """
    try:
        base = load_model()
    except ModelLoadError as error:
        raise EngineError(str(error)) from error
    base.forward.compile()
    return AttunedModel(base, settings.prompt, root, tell).complete


class AttunedModel:
    """Completes with the prompt file, and follows it: a file that changed counts from then on."""

    def __init__(self, base: BaseModel, named: Path | None, root: Path | None, tell: Tell) -> None:
        self._base = base
        self._named = named is not None
        self._path = None if root is None and named is None else _prompt_path(named, root)
        self._tell = tell
        self._version = _version(self._path)
        self._engine = self._opened()

    def complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Answer:
        """The text to insert at the cursor, or why there is none."""
        version = _version(self._path)
        if version != self._version:
            self._version = version
            self._engine = self._opened()
        found = complete(
            self._engine,
            request.text,
            request.path,
            request.offset,
            explicit=request.explicit,
            cancelled=cancelled,
        )
        return Answer(found.text, found.reason)

    def _opened(self) -> Engine:
        """The engine for the prompt file as it is now, or without it; tells which."""
        try:
            prompt, status = self._prompt()
            engine = Engine(self._base, prompt)
        except PromptError as error:
            engine, status = Engine(self._base), Status("Warning", False, str(error))
        self._tell(status)
        return engine

    def _prompt(self) -> tuple[PromptFile | None, Status]:
        if self._path is None or (self._version is None and not self._named):
            return None, WITHOUT_PROMPT
        prompt = read_prompt(self._path)
        if not self._named and not prompt.manifest.proven:
            return None, Status("Normal", False, f"Ready without a prompt: {UNPROVEN}.")
        return prompt, Status("Normal", False, f"Ready with prompt {_label(prompt.manifest)}")


def _prompt_path(named: Path | None, root: Path | None) -> Path:
    path = named or Path(DEFAULT_PROMPT)
    return path if root is None else root / path


def _version(path: Path | None) -> tuple[int, int, int] | None:
    """Changes whenever the file is replaced or written; None while there is none."""
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return status and (status.st_mtime_ns, status.st_size, status.st_ino)


def _label(manifest: Manifest) -> str:
    gain = manifest.measured.get("gain")
    if not isinstance(gain, (int, float)) or isinstance(gain, bool):
        return manifest.name
    return f"{manifest.name} ({100 * gain:+.1f} % on held-out files)"
