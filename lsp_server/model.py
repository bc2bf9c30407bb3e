"""The engine behind the server: the frozen model with the prompt file of the moment.

It imports torch, so only the engine thread imports this module.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from weakref import WeakMethod

from code_context.syntax import language_of
from code_model.completion import Completion, complete
from code_model.engine import Engine
from code_model.loading import BaseModel, ModelLoadError, load_model
from lsp_server.engine import Answer, Complete, CompletionRequest, EngineError, Tell
from lsp_server.prompt_watch import PromptWatch
from lsp_server.protocol import Status
from lsp_server.settings import Settings
from prompts.file import PromptFile
from prompts.manifest import Manifest
from prompts.repository import Choice, RepositoryPrompts

WARM_ENGINES = 3
"""Engines that keep their caches: a few documents with different prompts, in turns."""


def open_engine(settings: Settings, root: Path | None, tell: Tell) -> Complete:
    """Load the model and the prompt that the settings name, else the one of the folder `root`.

    Raises `EngineError` if the model cannot be loaded; a prompt that cannot be used is told.
    """
    try:
        base = load_model()
    except ModelLoadError as error:
        raise EngineError(str(error)) from error
    base.forward.compile()
    model = AttunedModel(base, settings.prompt, root, tell, without=_without_prompt(settings))
    follow = WeakMethod(model.refresh)  # the watch must not keep the model alive
    watch = PromptWatch(model.folders(), lambda: (refresh := follow()) and refresh())
    weakref.finalize(model, watch.stop)
    watch.start()
    return model.complete


class AttunedModel:
    """Completes each document with the prompt that is for it, as the files are at that moment.

    Its lock lets one thread at a time use the model.
    """

    def __init__(
        self,
        base: BaseModel,
        named: Path | None,
        root: Path | None,
        tell: Tell,
        without: str | None = None,
    ) -> None:
        """`without` says why no prompt is to serve, None where one may."""
        self._without = without
        self._base = base
        self._tell = tell
        self._told: Status | None = None
        self._lock = Lock()
        self._engines: OrderedDict[str | None, Engine] = OrderedDict()
        self._prompts = RepositoryPrompts(root, named, accept=self._engine)
        self.refresh()

    def refresh(self) -> None:
        """Take up changed files before a request needs them."""
        with self._lock:
            self._engine(self._chosen(self._prompts.refresh()))

    def folders(self) -> set[Path]:
        """Where a change of files may matter."""
        return self._prompts.folders()

    def complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Answer:
        """The text to insert at the cursor, or why there is none."""
        with self._lock:
            return self._complete(request, cancelled)

    def _complete(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Answer:
        chosen = self._chosen(self._prompts.choose(request.path, language_of(request.path)))

        def completed(prompt: PromptFile | None) -> Completion:
            return complete(
                self._engine(prompt),
                request.text,
                request.path,
                request.offset,
                explicit=request.explicit,
                cancelled=cancelled,
            )

        found = completed(None if request.without_prompt else chosen)
        others: tuple[str, ...] = ()
        if request.explicit and chosen is not None and found.reason != "cancelled":
            other = completed(chosen if request.without_prompt else None).text
            others = (other,) if other not in ("", found.text) else ()
        return Answer(found.text, found.reason, prompt=_identity(chosen), alternatives=others)

    def _chosen(self, choice: Choice) -> PromptFile | None:
        """The prompt of a choice; a status that differs from the last one is told."""
        if self._without is not None:
            choice = Choice(None, self._without)
        status = _status(choice)
        if status != self._told:
            self._told = status
            self._tell(status)
        return choice.prompt

    def _engine(self, prompt: PromptFile | None) -> Engine:
        """The engine behind this prompt; the last few stay warm.

        Raises `prompts.errors.IncompatiblePrompt`.
        """
        key = None if prompt is None else prompt.sha256
        engine = self._engines.get(key)
        if engine is None:
            engine = self._engines[key] = Engine(self._base, prompt)
        self._engines.move_to_end(key)
        while len(self._engines) > WARM_ENGINES:
            self._engines.popitem(last=False)
        return engine


def _status(choice: Choice) -> Status:
    if choice.prompt is not None:
        serving = f"Ready with prompt {_label(choice.prompt.manifest)}"
    elif choice.problems:
        serving = "Ready without a prompt"
    else:
        serving = f"Ready without a prompt: {choice.reason}."
    prompt = _identity(choice.prompt)
    if choice.problems:
        return Status("Warning", False, " ".join((*choice.problems, f"{serving}.")), prompt)
    return Status("Normal", False, serving, prompt)


def _without_prompt(settings: Settings) -> str | None:
    """Why the settings let no prompt serve, None if they do."""
    if settings.without_prompt:
        return "the settings say so"
    if not settings.trusted and settings.prompt is None:
        return "this workspace is not trusted"
    return None


def _identity(prompt: PromptFile | None) -> str | None:
    """The name, and enough of the hash to tell it from what it was before it was tuned again."""
    return None if prompt is None else f"{prompt.manifest.name}@{(prompt.sha256 or '')[:8]}"


def _label(manifest: Manifest) -> str:
    gain = manifest.measured.get("gain")
    if not isinstance(gain, (int, float)) or isinstance(gain, bool):
        return manifest.name
    return f"{manifest.name} ({100 * gain:+.1f} % on held-out files)"
