"""Whether a prompt fits a file: the same nats that tuning measures, of the file's own text."""

import math

import pytest

from code_context.context import ContextConfig
from code_context.syntax import language_of, parse
from code_model import fit
from code_model.cancel import Cancel, StepCancelledError
from code_model.completion import model_input
from code_model.fit import LEAST_TOKENS, TOKENS, gain_here
from code_model.loading import load_model
from code_model.soft_prompt import prefix_kv
from prompts.file import read_prompt
from tests.unit.lsp_server.test_model import prompt_of
from tuning import controls, generic
from tuning.evaluate import middle_nats
from tuning.examples import Example

TEXT = "import os\n\n\ndef main() -> int:\n" + "    path = os.getcwd() + os.listdir()[0]\n" * 9


def test_the_nats_are_those_that_tuning_measures(base):
    prompt, offset = prompt_of(base), len(TEXT) // 2
    tree = parse(TEXT, language_of("a.py"))
    ids = model_input(base, tree, "a.py", offset, config=ContextConfig(), room=TOKENS)
    one = Example(ids, len(ids) - 1)
    without, with_prompt = (
        middle_nats(base.model, prefix_kv(base, way), [one])[0] for way in (None, prompt)
    )
    assert len(ids) > fit.CHUNK  # so that the pieces are put together
    found = gain_here(base, prompt, tree, "a.py", offset)
    assert found == pytest.approx(1 - with_prompt / without, abs=1e-5)


@pytest.mark.parametrize("text", ["", "x = 1\n"])
def test_little_text_tells_nothing(base, text):
    assert LEAST_TOKENS > 1
    assert gain_here(base, prompt_of(base), parse(text, "python"), "a.py", len(text)) is None


def test_it_ends_at_the_next_layer_when_cancelled(base):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepCancelledError):
        gain_here(base, prompt_of(base), parse(TEXT, "python"), "a.py", len(TEXT), cancel)


def test_a_shipped_prompt_fits_its_own_code_and_not_another_repositorys():
    """Every file of the sample was tuned on by the one; the other never saw any."""
    base = load_model()
    own, other = (
        read_prompt(controls.FOLDER / f"{name}.attune.safetensors")
        for name in (controls.GENERIC_NAME, "networkx")
    )
    files = generic.sample()[:12]
    gains = {
        prompt.manifest.name: [
            gain_here(base, prompt, parse(file.text, "python"), file.path, len(file.text) // 2)
            for file in files
        ]
        for prompt in (own, other)
    }
    means = [math.fsum(one or 0.0 for one in found) / len(files) for found in gains.values()]
    assert means[0] > 0.0 > means[1]
