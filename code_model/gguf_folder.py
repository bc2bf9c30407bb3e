"""Make a model folder of a GGUF file, and on demand the same weights dequantised beside it.

The folder holds what the file says in Hugging Face's form: config.json and tokenizer.json, both by
transformers' GGUF support, and attune.json, which names the file and its SHA-256. llama.cpp serves
the file itself; the dequantised weights are for engines that tune (`code_model.gguf_source`).
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from code_model.fim_templates import TemplateError
from code_model.gguf_source import KEY, GgufSource, dequantised_sha256, record_dequantised
from code_model.language_model import ModelLoadError
from code_model.llama_cpp_library import Weights, differing
from code_model.model_folder import ModelFolder, read_model_folder
from code_model.new_folder import new_folder
from code_model.quiet import quiet
from code_model.tokenizer import Tokenizer
from file_access.regular_file import open_regular_file
from prompts.atomic_write import replace_file

MAGIC = b"GGUF"
RECURRENT = ("ssm.state_size", "wkv.head_size", "shortconv.l_cache")
"""Metadata of architectures with layers that keep a state instead of keys and values."""
SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})
"""llama.cpp's names of pre-tokenizers that are GPT-2's, but for digits, each a token of its own."""
TOKENIZER_TEXTS = (
    "def read(path: str) -> list[str]:\n    return open(path).readlines()  # 3.14\n",
    "\t\tif (x1 >= 0x7fff && !done) {\n\t\t\treturn items[12345];\r\n\t\t}\n",
    "'don''t' I'll we've \"a\\n\\tb\"  trailing   \n\n\n",
    "class Größe:\n    π = 3.14159  # 日本語のコメント 🙂\n",
    "SELECT * FROM t WHERE a='x' AND b<>2024-11-29;\n        \n",
    "a.b_c->d::e<F>(g)[h]@i#j$k%l^m&n|o~p`q{r}s/t\\u\n",
)
"""Pieces of code on which the converted tokenizer is compared with llama.cpp's own."""


def make_model_folder(
    gguf: Path, folder: Path, name: str | None = None, layout: str | None = None
) -> None:
    """Make the new model folder `folder` of a GGUF file, which stays where it is.

    `layout` names the FIM template; without it, the infilling tokens of the file do. The file's own
    weights serve in llama.cpp.

    Raises `ModelLoadError` if the file is no GGUF file, cut short, of an architecture that cannot
    serve prompts or that transformers does not read, if its tokenizer could not be converted
    exactly, or if it has the tokens of no known family; `OSError` if the folder cannot be written.
    Then there is no folder.
    """
    _check_magic(gguf)
    vocabulary = Weights(gguf, only_vocabulary=True)
    _check_architecture(gguf, vocabulary)
    source = GgufSource.of(gguf.resolve())
    with new_folder(folder) as partial:
        _convert_config(gguf, partial)
        _convert_tokenizer(gguf, partial, vocabulary)
        description: dict[str, Any] = {"name": name or gguf.stem, KEY: source.to_json()}
        if layout is not None:
            description["layout"] = layout
        _write_json(partial / "attune.json", description)
        _check_template(gguf, partial)


def is_dequantised(folder: ModelFolder) -> bool:
    """Whether the folder of a GGUF file also holds its weights as float32."""
    assert folder.gguf is not None  # noqa: S101 (the caller has checked)
    written = all(file.exists() for file in folder.weight_files)
    return written and dequantised_sha256(folder.path, folder.gguf) is not None


def dequantise(folder: Path) -> None:
    """Write the weights of a folder's GGUF file as float32, for engines that tune.

    Another process that does the same is waited for. Raises `ModelLoadError` if the folder names no
    GGUF file, if that file has changed, or if the weights do not fit into memory or onto the disk.
    """
    read = read_model_folder(folder)
    if read.gguf is None:
        raise ModelLoadError(f"{folder} names no GGUF file; its weights are as they should be.")
    try:
        with FileLock(folder / ".dequantise.lock"):
            if not is_dequantised(read):
                read.gguf.check()
                _dequantise(folder, read.gguf)
    except (MemoryError, OSError) as error:
        raise ModelLoadError(
            f"The weights of {read.gguf.path.name} could not be written as float32 ({error}); "
            "free memory and disk space, or choose a smaller model."
        ) from error


def _dequantise(folder: Path, source: GgufSource) -> None:
    for leftover in folder.glob("partial-*"):  # of a killed process, for this one holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial:
        _save_weights(source.path, Path(partial))
        for file in sorted(Path(partial).glob("model*.safetensors*")):
            os.replace(file, folder / file.name)
    record_dequantised(folder, source, read_model_folder(folder).weights_sha256)


def _check_magic(gguf: Path) -> None:
    try:
        with open_regular_file(gguf, 1 << 50) as opened:
            start = opened.read(len(MAGIC))
    except OSError as error:
        raise ModelLoadError(
            f"{gguf} cannot be read ({error.strerror or error}); check the path."
        ) from error
    if start != MAGIC:
        raise ModelLoadError(f"{gguf} is not a GGUF file; get it again, or choose another one.")


def _check_architecture(gguf: Path, vocabulary: Weights) -> None:
    """Refuse by the metadata what `code_model.llama_cpp.loading` would refuse after loading."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    architecture = vocabulary.description("general.architecture") or "unknown"
    window = int(vocabulary.description(f"{architecture}.attention.sliding_window") or 0)
    if window:
        raise ModelLoadError(
            f"{gguf.name} ({architecture}) has layers of sliding-window attention ({window} "
            "tokens), which forget a prompt; choose a model whose layers all have full attention, "
            "such as Qwen2.5-Coder."
        )
    if any(vocabulary.description(f"{architecture}.{key}") for key in RECURRENT):
        raise ModelLoadError(
            f"{gguf.name} ({architecture}) has recurrent layers, whose state cannot be cut back to "
            "a prefix; choose a model whose layers all have full attention, such as Qwen2.5-Coder."
        )
    if architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        raise ModelLoadError(
            f"{gguf.name} has the architecture {architecture}, which transformers does not read "
            "from GGUF; add the model in Hugging Face format."
        )


def _check_template(gguf: Path, folder: Path) -> None:
    """Refuse a tokenizer of no known family as `read_model_folder` does, by the file's name."""
    try:
        read_model_folder(folder)
    except ModelLoadError as error:
        if isinstance(error.__cause__, TemplateError):
            raise ModelLoadError(f"{gguf.name} cannot be used: {error.__cause__}.") from error
        raise


def _convert_config(gguf: Path, folder: Path) -> None:
    from transformers import AutoConfig

    try:
        with quiet():
            config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise ModelLoadError(
            f"transformers does not read the configuration of {gguf.name} ({error}); add the model "
            "in Hugging Face format."
        ) from error
    config.save_pretrained(folder)


def _convert_tokenizer(gguf: Path, folder: Path, vocabulary: Weights) -> None:
    """Write tokenizer.json, and compare it with llama.cpp's. Raises `ModelLoadError`."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer.save_pretrained(folder)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise ModelLoadError(
            f"transformers does not read the tokenizer of {gguf.name} ({error}); add the model in "
            "Hugging Face format."
        ) from error
    if vocabulary.description("tokenizer.ggml.pre") in SINGLE_DIGITS:
        _split_digits(folder / "tokenizer.json")
    converted = Tokenizer(folder / "tokenizer.json")
    ids = [converted.encode(text) for text in TOKENIZER_TEXTS]
    if wrong := differing(vocabulary, TOKENIZER_TEXTS, ids):
        raise ModelLoadError(
            f"The tokenizer of {gguf.name} could not be converted exactly (it differs at "
            f"{wrong[0][:40]!r}); add the model in Hugging Face format."
        )


def _split_digits(file: Path) -> None:
    """Let each digit be a token of its own, which transformers' conversion leaves out."""
    content = json.loads(file.read_text(encoding="utf-8"))
    digits = {"type": "Digits", "individual_digits": True}
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [digits, content["pre_tokenizer"]],
    }
    replace_file(file, json.dumps(content, ensure_ascii=False).encode())


def _save_weights(gguf: Path, folder: Path) -> None:
    """Write model.safetensors, as transformers would, which saves nothing that was quantised."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    with quiet():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes it for its owner only


def _write_json(file: Path, content: dict[str, Any]) -> None:
    replace_file(file, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
