"""PEFT loads what is exported, and what PEFT saved is imported: the same logits both ways."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows, prefix_kv
from prompts.errors import (
    CorruptPrompt,
    IncompatiblePrompt,
    NotAPromptFile,
    PromptError,
    PromptWriteError,
)
from prompts.file import PromptFile
from prompts.manifest import Manifest
from prompts.peft import CONFIG_NAME, METHODS, WEIGHTS_NAME, export_adapter, import_adapter

N_TOKENS = 6
IDS = list(range(20, 45))


def prompt_of(base: DecoderModel, form: Any) -> PromptFile:
    """Six tokens' keys and values or embeddings, moved a little, as tuning would."""
    if form != "embedding":
        rows = kv_to_rows(kv_of_ids(base.llama, range(30, 30 + N_TOKENS)))
    else:
        rows = base.llama.model.embed_tokens(torch.arange(30, 30 + N_TOKENS))
    moved = rows + 0.1 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(1))
    manifest = Manifest(
        name="p", form=form, num_virtual_tokens=N_TOKENS, model=base.identity, attune_version="0.1"
    )
    return PromptFile(manifest, np.ascontiguousarray(moved.detach().numpy(), dtype=np.float32))


def own_logits(base: DecoderModel, prompt: PromptFile) -> torch.Tensor:
    with torch.no_grad():
        hidden = base.llama(torch.tensor([IDS]), prefix_kv(base, prompt))
        return base.llama.logits(hidden)[0]


def peft_logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.tensor([IDS])).logits[0]
    return logits[-len(IDS) :]  # PROMPT_TUNING gives logits of its virtual tokens too


def reference(folder: Path) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT's own calls into transformers
@pytest.mark.parametrize("method", METHODS)
def test_peft_loads_the_export(
    base: DecoderModel, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    import peft

    prompt = prompt_of(base, METHODS[method])
    export_adapter(prompt, tmp_path / "adapter", method)
    loaded = peft.PeftModel.from_pretrained(reference(tiny_model), tmp_path / "adapter")
    assert loaded.active_peft_config.peft_type == method
    torch.testing.assert_close(peft_logits(loaded), own_logits(base, prompt), atol=2e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("method", METHODS)
def test_what_peft_saved_is_imported(
    base: DecoderModel, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    import peft

    configs = {
        "PROMPT_TUNING": peft.PromptTuningConfig,
        "PREFIX_TUNING": peft.PrefixTuningConfig,
        "CARTRIDGE": peft.CartridgeConfig,
    }
    torch.manual_seed(0)
    config = configs[method](task_type="CAUSAL_LM", num_virtual_tokens=N_TOKENS)
    model = peft.get_peft_model(reference(tiny_model), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "prompt_encoder" in name:
                parameter.normal_(0, 0.3)
    model.eval()
    model.save_pretrained(tmp_path)
    imported = import_adapter(tmp_path, base.identity, "imported")
    assert not imported.manifest.proven
    torch.testing.assert_close(own_logits(base, imported), peft_logits(model), atol=2e-4, rtol=1e-4)


@pytest.fixture
def adapter(kv_prompt: PromptFile, tmp_path: Path) -> Path:
    export_adapter(kv_prompt, tmp_path / "adapter")
    return tmp_path / "adapter"


def changed(adapter: Path, **changes: object) -> Path:
    config = json.loads((adapter / CONFIG_NAME).read_text())
    (adapter / CONFIG_NAME).write_text(json.dumps(config | changes))
    return adapter


def test_round_trip(adapter: Path, kv_prompt: PromptFile) -> None:
    assert sorted(path.name for path in adapter.iterdir()) == [CONFIG_NAME, WEIGHTS_NAME]
    imported = import_adapter(adapter, kv_prompt.manifest.model, "n")
    np.testing.assert_array_equal(imported.embeddings, kv_prompt.embeddings)
    assert imported.manifest.model == kv_prompt.manifest.model


def test_untrusted_fields_are_ignored(adapter: Path, kv_prompt: PromptFile) -> None:
    """Whatever an adapter names, of code, tokenizers or models, nothing is asked of it."""
    changed(
        adapter,
        base_model_name_or_path="https://example.org/evil",
        tokenizer_name_or_path="../../evil",
        tokenizer_kwargs={"trust_remote_code": True},
        auto_mapping={"parent_library": "os", "base_model_class": "system"},
        revision="evil",
        prompt_tuning_init_text="evil",
    )
    imported = import_adapter(adapter, kv_prompt.manifest.model, "n")
    assert "evil" not in imported.manifest.to_json()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"peft_type": "LORA"}, NotAPromptFile, "another type"),
        ({"peft_type": ["CARTRIDGE"]}, NotAPromptFile, "another type"),
        ({"num_virtual_tokens": 10**9}, CorruptPrompt, "num_virtual_tokens"),
        ({"num_virtual_tokens": True}, CorruptPrompt, "num_virtual_tokens must be a whole number"),
        ({"num_virtual_tokens": 2}, IncompatiblePrompt, "shape"),
        ({"num_layers": 3}, IncompatiblePrompt, "num_layers"),
        ({"token_dim": 9}, IncompatiblePrompt, "token_dim"),
        ({"token_dim": [9]}, CorruptPrompt, "token_dim must be a whole number"),
        ({"num_virtual_tokens": None}, CorruptPrompt, "num_virtual_tokens"),
    ],
)
def test_wrong_configurations(
    adapter: Path,
    kv_prompt: PromptFile,
    changes: dict[str, object],
    error: type[PromptError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        import_adapter(changed(adapter, **changes), kv_prompt.manifest.model, "n")


def test_wrong_files(adapter: Path, kv_prompt: PromptFile, tmp_path: Path) -> None:
    identity = kv_prompt.manifest.model
    weights = adapter / WEIGHTS_NAME
    two = {"prompt_embeddings": kv_prompt.embeddings, "other": np.zeros(1, np.float32)}
    safetensors.numpy.save_file(two, weights)
    with pytest.raises(PromptError, match="one tensor"):
        import_adapter(adapter, identity, "n")
    safetensors.numpy.save_file({"prompt_embeddings": np.full((3, 8), np.nan, np.float32)}, weights)
    with pytest.raises(PromptError, match="not finite"):
        import_adapter(adapter, identity, "n")
    weights.unlink()
    with pytest.raises(NotAPromptFile, match="cannot be read"):
        import_adapter(adapter, identity, "n")
    (adapter / CONFIG_NAME).write_text('{"peft_type": "CARTRIDGE", "peft_type": "LORA"}')
    with pytest.raises(NotAPromptFile, match="duplicate key"):
        import_adapter(adapter, identity, "n")
    with pytest.raises(NotAPromptFile, match="cannot be read"):
        import_adapter(tmp_path / "absent", identity, "n")


def test_export_refuses(
    adapter: Path, kv_prompt: PromptFile, embedding_prompt: PromptFile, tmp_path: Path
) -> None:
    before = (adapter / WEIGHTS_NAME).read_bytes()
    with pytest.raises(PromptWriteError, match="exists already"):
        export_adapter(kv_prompt, adapter)
    assert (adapter / WEIGHTS_NAME).read_bytes() == before
    with pytest.raises(PromptWriteError, match="choose PROMPT_TUNING"):
        export_adapter(embedding_prompt, tmp_path / "new", "CARTRIDGE")
    with pytest.raises(PromptWriteError, match="choose CARTRIDGE or PREFIX_TUNING"):
        export_adapter(kv_prompt, tmp_path / "new", "PROMPT_TUNING")
    assert not list(tmp_path.glob("new*"))


def test_virtual_tokens_without_positions_have_no_place_in_peft(
    base: DecoderModel, tmp_path: Path
) -> None:
    prompt = prompt_of(base, "kv-nope")
    with pytest.raises(PromptWriteError, match=r"kv-nope.*--form kv or --form embedding"):
        export_adapter(prompt, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
