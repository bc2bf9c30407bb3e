"""What `attune tune` says of a proof: first what people see."""

import math
from pathlib import Path

import pytest

from attune.show_tuning import acceptance_sentences, show_report, verdict
from tuning.acceptance import AcceptanceScores
from tuning.evaluate import Gain
from tuning.proof import Acceptance, Proof
from tuning.report import TuningReport
from tuning.train import Evaluation

WITHOUT = AcceptanceScores(shown=0.4, right=0.5, saved=3.0, wrong=1.0)
WITH_PROMPT = AcceptanceScores(shown=0.5, right=0.6, saved=3.3, wrong=1.0)


@pytest.mark.parametrize(
    ("mean", "low", "high", "end"),
    [
        (0.1, 0.05, 0.15, "+10.0 % (95 % interval +5.0 % to +15.0 %)."),
        (0.1, -0.3, 0.5, "the interval includes zero): 200 places are too few to be sure."),
        (-0.1, -0.3, 0.1, "the interval includes zero): the prompt costs what people see."),
    ],
)
def test_a_difference_that_is_not_certain_is_not_claimed(
    mean: float, low: float, high: float, end: str
) -> None:
    said = acceptance_sentences(Acceptance(200, 9, WITHOUT, WITH_PROMPT, Gain(mean, low, high)))
    assert said.startswith(
        "Of 100 places in unseen files, the editor shows 50 suggestions, 30 right; without the "
        "prompt 40 suggestions, 20 right. Characters saved, at equally many wrong ones: "
    )
    assert said.endswith(end)


def test_a_small_repository_is_told_as_it_is() -> None:
    """No hundred places are made of ten, and one file has no interval."""
    gain = Gain(0.1, -math.inf, math.inf)
    assert acceptance_sentences(Acceptance(10, 1, WITHOUT, WITH_PROMPT, gain)) == (
        "Of 10 places in unseen files, the editor shows 5 suggestions, 3 right; without the "
        "prompt 4 suggestions, 2 right. Characters saved, at equally many wrong ones: +10.0 % "
        "(of a single file, so without an interval): 10 places are too few to be sure."
    )


@pytest.mark.parametrize(
    ("bits", "characters", "said"),
    [
        (Gain(0.1, 0.05, 0.15), Gain(0.1, 0.05, 0.15), "Proven, by characters and by bits."),
        (Gain(0.1, 0.05, 0.15), Gain(0.1, -0.3, 0.5), "Proven by bits."),
        (Gain(0.1, 0.05, 0.15), None, "Proven by bits."),
        (Gain(0.1, 0.05, 0.15), Gain(-0.1, -0.3, 0.1), "Not proven."),
        (Gain(0.1, -0.05, 0.15), Gain(0.1, 0.05, 0.15), "Not proven."),
    ],
)
def test_the_verdict_says_what_is_proven(bits: Gain, characters: Gain | None, said: str) -> None:
    acceptance = None
    if characters is not None:
        acceptance = Acceptance(200, 9, WITHOUT, WITH_PROMPT, characters)
    proof = Proof(9, 160, (), bits, None, None, {}, acceptance)
    assert verdict(proof) == said


@pytest.mark.parametrize(
    ("written", "proven", "serves"),
    [
        (Path(".attune/prompt.safetensors"), True, True),
        (Path(".attune/prompt.unproven.safetensors"), False, False),
        (None, True, False),
    ],
)
def test_every_end_says_what_to_do_next(
    written: Path | None, proven: bool, serves: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    gain = Gain(0.1, 0.05, 0.15)
    selected = Evaluation(9.0, 6, 0.0, 0.0, gain)
    proof = Proof(9, 160, (), gain, None, None, {}, None)
    files = {"train": 20, "validation": 5, "test": 5}
    show_report(
        TuningReport(
            "space", files, {}, 6, 9.0, False, (selected,), selected, proof, proven, written
        ),
        details=False,
    )
    said = capsys.readouterr().out
    assert ("it serves from now on" in said) is serves
    assert "Next: open the repository in VS Code" in said
    assert ("`--minutes 10`" in said) is not serves
