"""The learning curve of a run as a picture."""

from pathlib import Path

from tuning.tune import Report


def plot(report: Report) -> Path | None:
    """Draw the validation gain over the steps beside the prompt file.

    Returns where, or None when nothing was written or matplotlib (the extra `plot`) is missing.
    """
    if report.written is None:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    steps = [check.step for check in report.checks]
    gains = [100 * check.gain.mean for check in report.checks]
    axes.plot(steps, gains, marker="o", label="validation files")
    axes.axhline(0, linewidth=0.8, color="0.5")
    if report.proof is not None:
        gain = report.proof.gain
        below, above = 100 * (gain.mean - gain.low), 100 * (gain.high - gain.mean)
        axes.errorbar(
            [steps[-1]], [100 * gain.mean], yerr=[[below], [above]], fmt="s", capsize=4,
            label="unseen files, 95 % interval",
        )  # fmt: skip
    axes.legend()
    axes.set_xlabel("steps")
    axes.set_ylabel("bits saved against no prompt (%)")
    axes.set_title(f"Tuning on {report.repository}")
    target = report.written.with_suffix(".png")
    figure.savefig(target, dpi=120)
    return target
