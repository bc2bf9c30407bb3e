"""The page of `attune report`: how a prompt was tuned, and what it gained beside controls.

A prompt file may hold anything under `measured`, so a figure that is not a number is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attune.pages.template import render
from prompts.manifest import Manifest

WIDTH, HEIGHT, MARGIN = 640, 240, 48
NAMES_WIDTH = 220  # of the names left of the bars
BAR_PITCH = 28


@dataclass(frozen=True)
class Table:
    """Texts of a table's cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bar:
    """One condition's gain, in the chart's coordinates; `interval` is its 95 % interval."""

    name: str
    y: int
    x: float
    length: float
    is_gain: bool
    interval: tuple[float, float] | None
    label: str


@dataclass(frozen=True)
class BarChart:
    """Bars from a common zero."""

    width: int
    height: int
    zero: float
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Curve:
    """Gains over steps, in the chart's coordinates, with labels at some points."""

    width: int
    height: int
    left: int
    zero: float
    points: Sequence[tuple[float, float]]
    labels: Sequence[tuple[float, float, str]]
    steps: str


def report_page(manifest: Manifest, sha256: str) -> str:
    """Self-contained HTML about the prompt of a manifest."""
    measured: Mapping[str, Any] = manifest.measured
    conditions = {
        str(name): scores
        for name, scores in _object(measured.get("arms")).items()
        if isinstance(scores, dict)
    }
    curve = measured.get("curve")
    return render(
        "report",
        name=manifest.name,
        heading=manifest.repository or manifest.name,
        seen=_seen(_object(measured.get("acceptance"))),
        verdict=_verdict(measured, manifest.proven),
        facts=_facts(manifest, sha256),
        bars=_bar_chart(conditions) if conditions else None,
        scores=_scores(conditions),
        strata=_strata(conditions, _object(measured.get("strata"))),
        curve=_curve(curve if isinstance(curve, list) else [], manifest.recipe.get("steps")),
    )


def _verdict(measured: Mapping[str, Any], proven: bool) -> str:
    gain, interval = _gain(measured)
    if gain is None:
        return "Not measured."
    verdict = f"It saves {100 * gain:.1f} % of the bits of hidden code"
    if interval is not None:
        verdict += f" (95 % interval {100 * interval[0]:.1f} % to {100 * interval[1]:.1f} %)"
    specificity = _number(measured.get("specificity"))
    if specificity is not None:
        verdict += f"; {100 * min(1.0, specificity):.0f} % of that is specific to this repository"
    over_retrieval = _number(_object(measured.get("over_retrieval")).get("gain"))
    if over_retrieval is not None:
        verdict += (
            f"; {100 * over_retrieval:.1f} % beside retrieved code, which the model is given "
            "in the editor"
        )
    return f"{verdict}: {'proven' if proven else 'not proven, so it does not serve'}."


def _seen(acceptance: Mapping[str, Any]) -> str | None:
    """What people see, in words; None if it was not measured."""
    counts, places = [], _number(acceptance.get("places"))
    if places is None:
        return None
    places = min(100, places)
    for condition in ("with_prompt", "without"):
        scores = _object(acceptance.get(condition))
        shown, right = _number(scores.get("shown")), _number(scores.get("right"))
        if shown is None or right is None:
            return None
        counts.append(f"{places * shown:.0f} suggestions, {places * shown * right:.0f} right")
    gain, interval = _gain(acceptance)
    seen = (
        f"Of {places:.0f} places in unseen files, the editor shows {counts[0]}; "
        f"without the prompt {counts[1]}."
    )
    if gain is not None and interval is not None:
        seen += (
            f" Characters saved, at equally many wrong ones: {100 * gain:+.1f} % (95 % interval "
            f"{100 * interval[0]:+.1f} % to {100 * interval[1]:+.1f} %)."
        )
    return seen


def _facts(manifest: Manifest, sha256: str) -> list[str]:
    return [
        f"{manifest.form}, {manifest.num_virtual_tokens} virtual tokens",
        f"model {manifest.model.name} ({manifest.model.model_fingerprint[:8]})",
        f"commit {manifest.commit[:12]}" if manifest.commit else "no commit",
        f"Attune {manifest.attune_version}",
        f"sha256 {sha256[:16]}",
    ]


def _bar_chart(conditions: Mapping[str, Mapping[str, Any]]) -> BarChart:
    gains = {name: _gain(scores) for name, scores in conditions.items()}
    values = [0.0]
    for gain, interval in gains.values():
        values += [value for value in (gain, *(interval or ())) if value is not None]
    x = _scale(values, NAMES_WIDTH, WIDTH - MARGIN)
    bars: list[Bar] = []
    for name, (gain, interval) in gains.items():
        if gain is None:
            continue
        left, right = sorted((x(0), x(gain)))
        bars.append(
            Bar(
                name=name,
                y=BAR_PITCH * len(bars) + 6,
                x=left,
                length=round(right - left, 1),
                is_gain=gain >= 0,
                interval=None if interval is None else (x(interval[0]), x(interval[1])),
                label=f"{100 * gain:+.1f} %",
            )
        )
    return BarChart(WIDTH, BAR_PITCH * len(bars), x(0), bars)


def _curve(evaluations: Sequence[Any], selected_step: Any) -> Curve | None:
    """The validation gains while tuning; None for fewer than two.

    The prompt is that of `selected_step`, which need not have the highest gain.
    """
    gains: list[tuple[float, float]] = []
    for evaluation in map(_object, evaluations):
        step, gain = _number(evaluation.get("step")), _number(evaluation.get("gain"))
        if step is not None and gain is not None:
            gains.append((step, gain))
    if len(gains) < 2:
        return None
    x = _scale([step for step, _ in gains], MARGIN, WIDTH - 8)
    y = _scale([*(gain for _, gain in gains), 0.0], HEIGHT - MARGIN / 2, 12)
    selected = [point for point in gains if point[0] == selected_step]
    labelled = dict.fromkeys((gains[0], *selected, gains[-1]))
    return Curve(
        width=WIDTH,
        height=HEIGHT,
        left=MARGIN,
        zero=y(0),
        points=[(x(step), y(gain)) for step, gain in gains],
        labels=[
            (
                x(step),
                round(y(gain) - 8, 1),
                f"{100 * gain:+.1f} %{' selected' * (step == selected_step)}",
            )
            for step, gain in labelled
        ],
        steps=f"{gains[-1][0]:.0f}",
    )


def _scores(conditions: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, scores in conditions.items():
        bits, gain = _number(scores.get("bits_per_byte")), _number(scores.get("gain"))
        rows.append(
            [
                name,
                "" if bits is None else f"{bits:.3f}",
                "" if gain is None else f"{100 * gain:+.1f} %",
            ]
        )
    return Table(["", "bits per byte", "saved"], rows)


def _strata(conditions: Mapping[str, Mapping[str, Any]], counts: Mapping[str, Any]) -> Table:
    names = [name for name in counts if _number(counts[name]) is not None]
    rows = []
    for condition, scores in conditions.items():
        bits = [_number(_object(scores.get("strata")).get(name)) for name in names]
        rows.append([condition, *("" if value is None else f"{value:.3f}" for value in bits)])
    return Table(["", *(f"{name.replace('_', ' ')} ({counts[name]})" for name in names)], rows)


def _gain(scores: Mapping[str, Any]) -> tuple[float | None, tuple[float, float] | None]:
    """A gain with its 95 % interval, each None where it is missing."""
    gain, low, high = (_number(scores.get(f"gain{end}")) for end in ("", "_low", "_high"))
    return gain, None if low is None or high is None else (low, high)


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """The linear map of the values' range to `start` … `end`, rounded to a tenth of a pixel."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: round(start + (value - low) / span * (end - start), 1)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
