"""The models of a workspace: each repository's documents are completed by its own.

A model is loaded when it is first needed, and once, however many repositories chose it.
"""

import logging
import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

from code_model.language_model import ModelLoadError
from code_model.model_choice import ModelChoice, RecordedFile
from code_model.model_resolution import ResolvedModel
from code_model.out_of_memory import OutOfModelMemoryError, is_out_of_memory
from completion.completion_model import CompletionModel, Computation, RepositoryModel
from completion.errors import describe
from completion.request import CompletionRequest, CompletionResult
from completion.status import Status, StatusListener
from prompts.errors import ConfigurationError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""After which a model that found no memory is tried again, when a request needs it."""
MAX_REPOSITORIES = 32
"""Repositories whose choice is followed, beside the folders of the workspace."""

OpenModel = Callable[[ModelChoice, Path | None, StatusListener], RepositoryModel]
"""Loads a model that serves a repository first.

Raises `ModelLoadError`, and `OutOfModelMemoryError` where the first session finds no memory.
"""


@dataclass(frozen=True)
class ModelResolution:
    """How to find out which model a repository has chosen.

    `resolve` raises `ModelLoadError` or `prompts.errors.ConfigurationError`. `stamp` is cheap, and
    differs whenever `resolve` may give another result. `folders` are those to watch for changes.
    """

    resolve: Callable[[Path | None], ResolvedModel]
    stamp: Callable[[Path | None], Hashable]
    folders: Callable[[Path | None], set[Path]]


@dataclass(frozen=True)
class _Route:
    """The choice of one repository. `problem` is why there is none, `key` what it shares."""

    stamp: Hashable
    name: str
    key: ModelChoice | None
    choice: ModelChoice | None
    notices: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class _Failure:
    """Why a model could not be loaded. `retry_at` (seconds of the clock): never, if infinite."""

    problem: str
    retry_at: float


def _contents(choice: ModelChoice) -> tuple[RecordedFile, ...]:
    """The recorded files without their times: `attune model check` may record new ones."""
    return tuple(replace(file, path=Path(file.path.name), mtime_ns=0) for file in choice.files)


class ModelPool(CompletionModel):
    """Routes each request to the model of its repository.

    A model that cannot be loaded fails for its repositories only, with one notice, until the choice
    changes; where memory was missing, it is tried again from time to time. A model that no
    repository chooses any more is dropped before another one is loaded, since both may not fit into
    memory.

    Reason for its size: one lock guards routes, models and their statuses.
    """

    def __init__(
        self,
        resolution: ModelResolution,
        open_model: OpenModel,
        roots: Sequence[Path],
        report: StatusListener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the model of the first root; a request without a root belongs to that one.

        `clock` gives seconds.
        """
        self._resolution = resolution
        self._open_model = open_model
        self._roots: tuple[Path | None, ...] = tuple(roots) or (None,)
        self._report = report
        self._clock = clock
        self._lock = Lock()
        self._routes: dict[Path | None, _Route] = {}
        self._models: dict[ModelChoice, RepositoryModel | _Failure] = {}
        self._statuses: dict[ModelChoice, Status] = {}
        self._active: Path | None = self._roots[0]
        self._reported: Status | None = None
        self.refresh()

    def refresh(self) -> None:
        """Follow changed choices and prompt files before a request needs them; any thread."""
        with self._lock:
            for root in dict.fromkeys((*self._roots, *self._routes)):
                self._route(root)
            self._load(self._active)
        for model in self._loaded():
            model.refresh()

    def folders(self) -> set[Path]:
        """The folders in which a changed file may change model or prompt; thread-safe."""
        roots = dict.fromkeys((*self._roots, *tuple(self._routes)))
        own = [self._resolution.folders(root) for root in roots]
        return set().union(*own, *(model.folders() for model in self._loaded()))

    def version(self, request: CompletionRequest) -> Hashable:
        """See `CompletionModel`."""
        root = self._root_of(request)
        model = self._loaded_for(root)
        return self._resolution.stamp(root), None if model is None else model.version(request)

    def timeout_s(self, request: CompletionRequest) -> float | None:
        """See `CompletionModel`; while a model is loaded, a request waits for that."""
        model = self._loaded_for(self._root_of(request))
        return None if model is None else model.timeout_s(request)

    @property
    def looks_ahead(self) -> bool:
        """See `CompletionModel`: as the model that answered last."""
        model = self._loaded_for(self._active)
        return model is None or model.looks_ahead

    def complete(self, request: CompletionRequest, computation: Computation) -> CompletionResult:
        """See `CompletionModel`; empty where the repository's model cannot be loaded."""
        model = self._model_for(request)
        if model is None:
            return CompletionResult("", "no_engine")
        return model.complete(request, computation)

    def warm(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`."""
        if (model := self._model_for(request)) is not None:
            model.warm(request, computation)

    def check_fit(self, request: CompletionRequest, computation: Computation) -> None:
        """See `CompletionModel`."""
        if (model := self._model_for(request)) is not None:
            model.check_fit(request, computation)

    def _loaded_for(self, root: Path | None) -> RepositoryModel | None:
        """The model of a repository, if it is there already."""
        route = self._routes.get(root)
        model = None if route is None or route.key is None else self._models.get(route.key)
        return None if isinstance(model, _Failure) else model

    def _loaded(self) -> list[RepositoryModel]:
        models = tuple(self._models.values())
        return [model for model in models if not isinstance(model, _Failure)]

    def _model_for(self, request: CompletionRequest) -> RepositoryModel | None:
        with self._lock:
            self._active = self._root_of(request)
            return self._load(self._active)

    def _root_of(self, request: CompletionRequest) -> Path | None:
        return self._roots[0] if request.root is None else request.root

    def _route(self, root: Path | None) -> _Route:
        """The repository's present choice; if it cannot be read now, the one before."""
        stamp, before = self._resolution.stamp(root), self._routes.get(root)
        if before is not None and before.stamp == stamp:
            return before
        try:
            resolved = self._resolution.resolve(root)
        except (ConfigurationError, ModelLoadError) as error:
            if before is not None and before.key is not None:
                route = replace(before, stamp=stamp, notices=(str(error),))
            else:
                route = _Route(stamp, "", None, None, problem=str(error))
        else:
            choice = resolved.choice
            key = replace(choice, path=choice.path.resolve(), files=_contents(choice))
            route = _Route(stamp, resolved.name, key, choice, resolved.notices)
            if isinstance(self._models.get(key), _Failure):
                del self._models[key]  # the choice was made anew, so try again
        self._routes[root] = route
        others = [other for other in self._routes if other not in self._roots]
        for other in others[:-MAX_REPOSITORIES]:
            del self._routes[other]
        return route

    def _load(self, root: Path | None) -> RepositoryModel | None:
        """The model of a repository, loaded if need be; reports its status."""
        route = self._route(root)
        if route.key is None or route.choice is None:
            self._send(Status("Error", False, route.problem))
            return None
        chosen = {other.key for other in self._routes.values()}
        for key in [key for key in self._models if key not in chosen]:
            del self._models[key]
            self._statuses.pop(key, None)
        model = self._models.get(route.key)
        if model is None or (isinstance(model, _Failure) and model.retry_at <= self._clock()):
            if model is None and self._reported is not None:
                self._send(Status("Normal", True, "Loading the model…"))
            model = self._models[route.key] = self._opened(route.choice, route.key, root)
        self._send_route(route)
        return None if isinstance(model, _Failure) else model

    def _opened(
        self, choice: ModelChoice, key: ModelChoice, root: Path | None
    ) -> RepositoryModel | _Failure:
        """The loaded model, or why it could not be loaded."""
        sharing = [other for other, route in self._routes.items() if route.key == key]
        first = next((other for other in self._roots if other in sharing), root)
        try:
            model = self._open_model(choice, first, partial(self._set_status, key))
        except OutOfModelMemoryError as error:
            failure = _Failure(str(error), self._clock() + RETRY_SECONDS)
        except ModelLoadError as error:
            failure = _Failure(str(error), math.inf)
        except Exception as error:
            logger.error("The model could not be loaded (%s).", describe(error))
            retries = is_out_of_memory(error)
            failure = _Failure(
                f"The model could not be loaded ({describe(error)}).",
                self._clock() + RETRY_SECONDS if retries else math.inf,
            )
        else:
            for other in sharing:
                if other is not None:
                    model.add_root(other)
            return model
        self._statuses[key] = Status("Error", False, failure.problem)
        return failure

    def _set_status(self, key: ModelChoice, status: Status) -> None:
        """Called by a model, on any thread and with or without the lock."""
        self._statuses[key] = status
        route = self._routes.get(self._active)
        if route is not None and route.key == key and key in self._models:
            self._send_route(route)

    def _send_route(self, route: _Route) -> None:
        status = None if route.key is None else self._statuses.get(route.key)
        if status is None:
            return
        status = replace(status, model=status.model or route.name)
        if route.notices:
            kind = "Warning" if status.kind == "Normal" else status.kind
            message = " ".join((*route.notices, status.message))
            status = replace(status, kind=kind, message=message)
        self._send(status)

    def _send(self, status: Status) -> None:
        if status != self._reported:
            self._reported = status
            self._report(status)
