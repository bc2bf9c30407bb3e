"""The progress of `attune tune` and `attune eval`, on stderr: bars, lines, or JSON lines."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from attune.show_places import place_text

if TYPE_CHECKING:
    from tuning.acceptance import ShownText
    from tuning.progress import OnProgress, Progress

CURVE = "▁▂▃▄▅▆▇█"
LINE_SECONDS = 10.0  # between two lines where there is no terminal
SHOWN_PLACES = 12
ALIKE_PLACES = 4  # of them, those where the prompt changes nothing


@contextmanager
def progress_display(json_lines: bool, *, visible: bool = True) -> "Iterator[OnProgress]":
    """Shows a run's progress: a bar for each phase, and some of the places that the proof
    completes, as they come.

    Where stderr is no terminal, lines take the place of bars. A JSON line holds `phase` (a code),
    `description` (its title), `done` (0 to 1), `steps`, `seconds` of training so far,
    `seconds_left` of the phase (null before it can be estimated), and of the validation files
    `gain`, the latest one, and `selected_gain`, the one of the prompt that would be written (both
    null before the first evaluation). It holds no code.
    """
    console = Console(stderr=True, highlight=False)
    if not visible:
        yield lambda progress: None
    elif json_lines:
        yield _json_lines()
    elif console.is_terminal:
        with _bars(console) as on_progress:
            yield on_progress
    else:
        yield _lines(console)


class _SecondsLeft:
    """Estimates how long each phase still takes, by what it has done since it began."""

    def __init__(self) -> None:
        self._starts: dict[str, tuple[float, float]] = {}

    def __call__(self, progress: "Progress") -> float | None:
        now = monotonic()
        since, first = self._starts.setdefault(progress.phase.code, (now, progress.fraction))
        done = progress.fraction - first
        return (now - since) * (1 - progress.fraction) / done if done > 0 else None


class _Places:
    """Prints the first places where the prompt changes what is shown, and a few others."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._left = {True: SHOWN_PLACES - ALIKE_PLACES, False: ALIKE_PLACES}

    def show(self, shown: "ShownText | None") -> None:
        if shown is None or not (shown.without or shown.with_prompt):
            return
        differs = shown.without != shown.with_prompt
        if self._left[differs]:
            self._left[differs] -= 1
            self._console.print(place_text(shown))


def _json_lines() -> "OnProgress":
    seconds_left = _SecondsLeft()

    def on_progress(progress: "Progress") -> None:
        left = seconds_left(progress)
        gains = [evaluation.gain.mean for evaluation in progress.evaluations]
        selected = progress.selected
        line = {
            "phase": progress.phase.code,
            "description": progress.phase.title,
            "done": round(progress.fraction, 4),
            "steps": progress.steps,
            "seconds": round(progress.seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
            "gain": round(gains[-1], 5) if gains else None,
            "selected_gain": None if selected is None else round(selected.gain.mean, 5),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)  # noqa: T201

    return on_progress


def _lines(console: Console) -> "OnProgress":
    """A line at the beginning of each phase, and then one every `LINE_SECONDS`."""
    seconds_left, places = _SecondsLeft(), _Places(console)
    phase, said = "", 0.0

    def on_progress(progress: "Progress") -> None:
        nonlocal phase, said
        left, now = seconds_left(progress), monotonic()
        places.show(progress.shown)
        if progress.phase.code == phase and now - said < LINE_SECONDS:
            return
        phase, said = progress.phase.code, now
        rest = "" if left is None else f", {left:.0f} s left"
        line = f"{progress.phase.title}: {100 * progress.fraction:.0f} %{rest} {_score(progress)}"
        console.print(line.rstrip(), soft_wrap=True)

    return on_progress


@contextmanager
def _bars(console: Console) -> "Iterator[OnProgress]":
    """One bar for each phase, with the validation gain and its curve. A new phase completes the
    bars before it."""
    tasks: dict[str, TaskID] = {}
    places = _Places(console)
    with ProgressBars(
        TextColumn("{task.description:<26}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[score]}"),
        console=console,
    ) as bars:

        def on_progress(progress: "Progress") -> None:
            phase = progress.phase.title
            if phase not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=1.0)
                tasks[phase] = bars.add_task(phase, total=1.0, score="")
            places.show(progress.shown)
            bars.update(tasks[phase], completed=progress.fraction, score=_score(progress))

        yield on_progress


def _score(progress: "Progress") -> str:
    gains = [evaluation.gain.mean for evaluation in progress.evaluations]
    return f"validation {100 * gains[-1]:+.1f} % {_curve(gains)}" if gains else ""


def _curve(gains: list[float]) -> str:
    low, high = min(gains), max(gains)
    span = (high - low) or 1.0
    return "".join(CURVE[round((gain - low) / span * (len(CURVE) - 1))] for gain in gains)
