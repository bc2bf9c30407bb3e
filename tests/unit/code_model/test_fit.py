"""Whether a prompt fits a file: the same nats that tuning measures, of its own text."""

import statistics
from pathlib import Path

import pytest
import rich

from code_model import fit
from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder import loss
from code_model.fit import LEAST_TOKENS, TOKENS, gain_on, misfit
from code_model.loading import load_model
from prompts.file import read_prompt
from tests.unit.lsp_server.test_model import prompt_of
from tuning import controls, generic
from tuning.evaluate import total_nats
from tuning.examples import Example

TEXT = "import os\n\n\ndef main() -> int:\n" + "    path = os.getcwd() + os.listdir()[0]\n" * 9


def test_the_nats_are_those_that_tuning_measures(base):
    """Of the text behind the path, which is given and not counted."""
    prompt = prompt_of(base)
    ids, text = base.encoder.encode_file("a.py", TEXT), base.tokenizer.encode(TEXT)
    assert ids[-len(text) :] == text
    assert loss.CHUNK < len(text) < TOKENS  # so that pieces are put together
    example = Example(ids, len(text))
    bare, prompted = (
        total_nats(base.open(served).score([example]))[0] for served in (None, prompt)
    )
    assert gain_on(base.open, prompt, "a.py", TEXT) == pytest.approx(1 - prompted / bare, abs=1e-5)
    assert gain_on(base.open, prompt, "a.py", TEXT.replace("\n", "\r\n")) == gain_on(
        base.open, prompt, "a.py", TEXT
    )


def test_too_little_text_gives_no_gain(base):
    digits = "1" * LEAST_TOKENS
    assert len(base.tokenizer.encode(digits)) == LEAST_TOKENS
    assert gain_on(base.open, prompt_of(base), "a.py", digits) is not None
    for text in (digits[1:], "x = 1\n", ""):
        assert gain_on(base.open, prompt_of(base), "a.py", text) is None


def test_a_prompt_misfits_exactly_where_it_costs(base):
    prompt = prompt_of(base)
    for gain in (None, 0.0, 0.1):
        assert misfit(prompt, gain) is None
    assert misfit(prompt, -0.0314) == (
        "prompt space does not fit this file: with it, what is written there takes 3.1 % more bits"
    )


def test_a_long_text_is_read_in_its_middle(base):
    """In time that does not depend on its length."""
    prompt, middle = prompt_of(base), "    value = compute(first, second)\n" * 400
    gains = {
        gain_on(base.open, prompt, "a.py", end + middle + end)
        for end in ("", "x\n" * 40, "y = 1\n" * 200)
    }
    assert None not in gains
    assert len(gains) == 1


def test_a_prompt_that_fills_the_positions_leaves_room_for_less(base, monkeypatch):
    positions = base.llama.config.max_position_embeddings
    prompt = prompt_of(base)
    room = positions - prompt.manifest.num_virtual_tokens
    room -= len(base.encoder.encode_file("a.py", ""))
    text = (TEXT * 40)[: 6 * room]  # short enough to be read whole, were there positions for it
    assert len(base.tokenizer.encode(text)) > positions
    monkeypatch.setattr(fit, "TOKENS", room)
    expected = gain_on(base.open, prompt, "a.py", text)
    monkeypatch.setattr(fit, "TOKENS", 2 * positions)
    assert gain_on(base.open, prompt, "a.py", text) == expected is not None


def test_it_ends_at_the_next_layer_when_cancelled(base):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepCancelledError):
        gain_on(base.open, prompt_of(base), "a.py", TEXT, cancel)


@pytest.mark.shipped_weights
def test_a_prompt_fits_its_own_repository_and_little_else_wherever_the_file_lies():
    """A prompt makes its repository's paths likelier too; that must not count for the text."""
    base = load_model()
    own, other = (
        read_prompt(controls.FOLDER / f"{name}.attune.safetensors") for name in ("rich", "networkx")
    )
    files = generic.sample()[:10:2]
    for folder in ("", "networkx/algorithms/"):
        gains = [gain_on(base.open, other, folder + file.path, file.text) for file in files]
        assert sum(misfit(other, gain) is not None for gain in gains) >= 0.6 * len(gains)
        assert max(gains) < 0.02, "where it serves another's file, it says little there"
    modules = sorted(Path(rich.__file__).parent.glob("[a-c]*.py"))[::4]
    gains = [
        gain_on(base.open, own, f"rich/{module.name}", module.read_text("utf-8"))
        for module in modules
    ]
    assert sum(misfit(own, gain) is None for gain in gains) > 0.8 * len(modules)
    assert statistics.median(gains) > 0.02
