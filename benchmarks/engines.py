"""Which form of prompt serves in which engine, measured: the table of docs/engines.md.

    python -m benchmarks.engines

The shipped model's weights are computed by each engine, in float32 and, by llama.cpp, as a GGUF
file of float32 and of float16. The same prompt of each form stands in front of the same code; a
cell has the largest difference of a token's log-probability (nats) to our decoder.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.gguf_export import export_gguf
from code_model.decoder.model import DecoderModel
from code_model.gguf_source import KEY, GgufSource, record_dequantised
from code_model.language_model import LanguageModel, ScoredIds, TunableModel
from code_model.loading import DEFAULT, load_model
from code_model.model_choice import ModelChoice
from code_model.model_folder import read_model_folder
from prompts.errors import IncompatiblePrompt
from prompts.file import PromptFile
from prompts.form import Form
from prompts.manifest import Manifest

PAGE = Path("docs/engines.md")
BEGIN, END = "<!-- python -m benchmarks.engines -->", "<!-- end -->"
FORMS: tuple[Form, ...] = ("kv-nope", "kv", "embedding")
CODE = Path(__file__).read_text(encoding="utf-8")[:1500]
VIRTUAL_TOKENS = 32


def gguf_folder(decoder: DecoderModel, folder: Path, *, full: bool) -> Path:
    """The shipped model's folder with a GGUF file of its weights."""
    shutil.copytree(DEFAULT, folder)
    export_gguf(decoder.llama, folder / "model.gguf", full=full)
    source = GgufSource.of(folder / "model.gguf")
    description = folder / "attune.json"
    content = json.loads(description.read_text(encoding="utf-8")) | {KEY: source.to_json()}
    description.write_text(json.dumps(content), encoding="utf-8")
    record_dequantised(folder, source, read_model_folder(folder).weights_sha256)
    return folder


def prompt_of(model: TunableModel, form: Form) -> PromptFile:
    """A prompt that stands for code, and for none of a text's own."""
    ids = model.tokenizer.encode(CODE)[:VIRTUAL_TOKENS]
    rows = model.prompt_embeddings_of(ids, form).float()
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    rows += 0.1 * rows.std() * noise
    manifest = Manifest(
        name="prompt",
        form=form,
        num_virtual_tokens=len(rows),
        model=model.identity,
        attune_version="0",
    )
    return PromptFile(manifest, rows.numpy())


def nats(model: LanguageModel, prompt: PromptFile | None) -> NDArray[np.float64]:
    """Of each token of a piece of code behind `prompt`."""
    ids = model.encoder.encode_file("engines.py", CODE)
    (scores,) = model.open(prompt).score([ScoredIds(ids, len(ids) - 1)])
    return np.array(scores)


def cell(model: LanguageModel, decoder: DecoderModel, form: Form) -> str:
    """What the table says about one form in one engine."""
    prompt = prompt_of(decoder, form)
    expected = nats(decoder, prompt)
    # a model of another file has another identity; the numbers are what is compared here
    own = PromptFile(
        Manifest(**{**vars(prompt.manifest), "model": model.identity}), prompt.embeddings
    )
    try:
        difference = float(np.abs(nats(model, own) - expected).max())
    except IncompatiblePrompt:
        return "refused"
    return f"{difference:.0e}"


def rows() -> list[str]:
    """The table in Markdown."""
    lines = [
        "| engine | precision | kv-nope | kv | embedding | tunes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    decoder = load_model(ModelChoice(DEFAULT, engine="decoder"))
    assert isinstance(decoder, DecoderModel)  # noqa: S101 (by the choice)
    with tempfile.TemporaryDirectory() as folder:
        full, half = (
            gguf_folder(decoder, Path(folder) / name, full=name == "float32")
            for name in ("float32", "float16")
        )
        choices = [
            ModelChoice(DEFAULT, engine="decoder"),
            ModelChoice(DEFAULT, engine="transformers", device="cpu", precision="float32"),
            ModelChoice(full, engine="llama.cpp"),
            ModelChoice(half, engine="llama.cpp"),
        ]
        for choice in choices:
            model = load_model(choice)
            cells = [cell(model, decoder, form) for form in FORMS]
            tunes = "yes" if isinstance(model, TunableModel) else "no"
            runtime = model.runtime
            lines.append(
                f"| {runtime.engine} | {runtime.precision} | {' | '.join(cells)} | {tunes} |"
            )
    return lines


def main() -> None:
    """Write the table into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows())
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
