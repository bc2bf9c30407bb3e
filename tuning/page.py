"""One self-contained page about a prompt: how it was tuned, and what it gained beside controls."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from prompts.atomic_write import replace_file
from prompts.errors import PromptWriteError
from prompts.manifest import Manifest

WIDTH, HEIGHT, MARGIN = 640, 240, 48
STYLE = """
:root { color-scheme: light dark; --good: #2a7d4f; --bad: #b3402a; --line: #8888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: currentColor; }
.verdict { font-size: 1.2rem; }
"""


def write_page(path: Path, manifest: Manifest, sha256: str) -> None:
    """Write the page about a prompt to `path` in one step.

    Raises `prompts.errors.PromptWriteError` if it cannot be written.
    """
    try:
        replace_file(path, page(manifest, sha256).encode())
    except OSError as error:
        raise PromptWriteError(
            f"{path} could not be written ({error.strerror or error}); choose another place."
        ) from error


def page(manifest: Manifest, sha256: str) -> str:
    """HTML without anything from elsewhere: no script, no font, no picture to load.

    A prompt file may say anything, so every text of it is escaped, and a figure that is not a
    number is left out.
    """
    measured: Mapping[str, Any] = manifest.measured
    arms = {
        str(name): arm
        for name, arm in _object(measured.get("arms")).items()
        if isinstance(arm, dict)
    }
    curve = [one for one in _list(measured.get("curve")) if isinstance(one, dict)]
    parts = [
        f"<h1>Prompt of {escape(manifest.repository or manifest.name)}</h1>",
        f'<p class="verdict">{_verdict(measured, manifest.proven)}</p>',
        f"<p>{_facts(manifest, sha256)}</p>",
    ]
    if arms:
        parts += ["<h2>Bits saved on unseen files, with 95 % intervals</h2>", _bars(arms)]
        parts += [_table(arms), "<h2>Bits per byte, by what the hidden text asks for</h2>"]
        parts += [_strata(arms, _object(measured.get("strata")))]
    if len(curve) > 1:
        parts += ["<h2>Bits saved on validation files while tuning</h2>", _curve(curve)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Prompt of {escape(manifest.name)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _verdict(measured: Mapping[str, Any], proven: bool) -> str:
    gain, low, high = (_number(measured.get(f"gain{end}")) for end in ("", "_low", "_high"))
    if gain is None:
        return "Not measured."
    said = f"It saves {gain:.1%} of the bits of hidden code"
    if low is not None and high is not None:
        said += f" (95 % interval {low:.1%} to {high:.1%})"
    specific = _number(measured.get("specificity"))
    if specific is not None:
        said += f"; {min(1.0, specific):.0%} of that is specific to this repository"
    over = _number(_object(measured.get("over_retrieval")).get("gain"))
    if over is not None:
        said += f"; beside retrieved code, which the editor shows the model too, {over:.1%}"
    return f"{said}: {'proven' if proven else 'not proven, so it does not serve'}."


def _facts(manifest: Manifest, sha256: str) -> str:
    facts = [
        f"{manifest.form}, {manifest.num_virtual_tokens} virtual tokens",
        f"model {manifest.model.name} ({manifest.model.model_fingerprint[:8]})",
        f"commit {manifest.commit[:12]}" if manifest.commit else "no commit",
        f"Attune {manifest.attune_version}",
        f"sha256 {sha256[:16]}",
    ]
    return escape(" · ".join(facts))


def _bars(arms: Mapping[str, Mapping[str, Any]]) -> str:
    shown = []
    for name, arm in arms.items():
        gain, low, high = (_number(arm.get(f"gain{end}")) for end in ("", "_low", "_high"))
        if gain is not None:
            shown.append((name, gain, low, high))
    ends = [one for _, *three in shown for one in three if isinstance(one, int | float)]
    x = _scale([*ends, 0.0], 220, WIDTH - MARGIN)
    drawn = [f'<line x1="{x(0):.1f}" y1="0" x2="{x(0):.1f}" y2="{28 * len(shown)}" '
             'stroke="var(--line)"/>']  # fmt: skip
    for row, (name, gain, low, high) in enumerate(shown):
        y = 28 * row + 6
        left, right = sorted((x(0), x(gain)))
        colour = "var(--good)" if gain >= 0 else "var(--bad)"
        drawn.append(f'<text x="0" y="{y + 13}">{escape(name)}</text>')
        drawn.append(f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="16" '
                     f'fill="{colour}"/>')  # fmt: skip
        if low is not None and high is not None:
            drawn.append(f'<line x1="{x(low):.1f}" y1="{y + 8}" x2="{x(high):.1f}" y2="{y + 8}" '
                         'stroke="currentColor"/>')  # fmt: skip
        drawn.append(f'<text x="{WIDTH}" y="{y + 13}" text-anchor="end">{gain:+.1%}</text>')
    return _svg(28 * len(shown), drawn, "Bits saved by each way to serve")


def _curve(checks: Sequence[Mapping[str, Any]]) -> str:
    known = []
    for one in checks:
        step, gain = _number(one.get("step")), _number(one.get("gain"))
        if step is not None and gain is not None:
            known.append((step, gain))
    if len(known) < 2:
        return ""
    x = _scale([step for step, _ in known], MARGIN, WIDTH - 8)
    y = _scale([*(gain for _, gain in known), 0.0], HEIGHT - MARGIN / 2, 12)
    line = " ".join(f"{x(step):.1f},{y(gain):.1f}" for step, gain in known)
    zero = f'x1="{MARGIN}" y1="{y(0):.1f}" x2="{WIDTH}" y2="{y(0):.1f}"'
    drawn = [
        f'<line {zero} stroke="var(--line)"/>',
        f'<polyline points="{line}" fill="none" stroke="var(--good)" stroke-width="2"/>',
    ]
    for step, gain in known:
        drawn.append(f'<circle cx="{x(step):.1f}" cy="{y(gain):.1f}" r="3"/>')
    first, last = known[0], known[-1]
    best = max(known, key=lambda one: one[1])
    for step, gain in dict.fromkeys((first, best, last)):
        drawn.append(f'<text x="{x(step):.1f}" y="{y(gain) - 8:.1f}" '
                     f'text-anchor="end">{gain:+.1%}</text>')  # fmt: skip
    drawn.append(f'<text x="{WIDTH}" y="{HEIGHT}" text-anchor="end">{last[0]:.0f} steps</text>')
    return _svg(HEIGHT, drawn, "Validation gain over steps")


COLUMNS = (
    ("bits_per_byte", "bits per byte", "{:.3f}"),
    ("gain", "saved", "{:+.1%}"),
    ("exact_match", "exact lines", "{:.0%}"),
    ("edit_similarity", "edit similarity", "{:.0%}"),
    ("first_identifier", "first identifier", "{:.0%}"),
    ("kept_characters", "characters kept", "{:.1f}"),
)


def _table(arms: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [["", *(title for _, title, _ in COLUMNS)]]
    for name, arm in arms.items():
        values = [(_number(arm.get(key)), shape) for key, _, shape in COLUMNS]
        rows.append([name, *("" if v is None else shape.format(v) for v, shape in values)])
    return _html_table(rows)


def _strata(arms: Mapping[str, Mapping[str, Any]], counts: Mapping[str, Any]) -> str:
    names = [name for name in counts if _number(counts[name]) is not None]
    rows = [["", *(f"{name.replace('_', ' ')} ({counts[name]})" for name in names)]]
    for arm_name, arm in arms.items():
        bits = [_number(_object(arm.get("strata")).get(name)) for name in names]
        rows.append([arm_name, *("" if one is None else f"{one:.3f}" for one in bits)])
    return _html_table(rows)


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head, *body = rows
    return "<table>" + row(head, "th") + "".join(row(cells, "td") for cells in body) + "</table>"


def _svg(height: float, drawn: Sequence[str], label: str) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}"'
    return f'<svg {size} role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'


def _scale(values: Sequence[float], start: float, end: float) -> Any:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
