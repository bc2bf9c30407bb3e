"""Data from outside: one sentence for a broken rule, and only the package's own errors."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, TypeAdapter

from prompts.configuration import FILE_NAME, read_configuration
from prompts.errors import ConfigurationError, PromptError, RegistryError, StoreError
from prompts.manifest import ModelIdentity
from prompts.peft import CONFIG_NAME, import_adapter
from prompts.registry import Entry
from prompts.store import used_digests
from prompts.trust import consents_path, trust_of
from prompts.user import user_folder
from prompts.validation import InvalidDataError, Label, Sha256, validate


@dataclass(frozen=True)
class Inner:
    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    share: StrictFloat


@dataclass(frozen=True)
class Outer:
    name: Label
    digest: Sha256
    count: Annotated[StrictInt, Field(ge=1, le=9)]
    good: StrictBool
    inner: tuple[Inner, ...]
    marks: Annotated[dict[str, Any], Field(max_length=1)]


OUTER = TypeAdapter(Outer)
VALID = {
    "name": "n",
    "digest": "ab" * 32,
    "count": 1,
    "good": True,
    "inner": [{"share": 0.5}],
    "marks": {},
}


def test_valid_data_becomes_the_type() -> None:
    assert validate(OUTER, VALID) == Outer("n", "ab" * 32, 1, True, (Inner(0.5),), {})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "../x"}, "name must be 1 to 256 printable characters without / or \\"),
        ({"name": 1}, "name must be text"),
        ({"digest": "ab" * 31}, "digest must be 64 lower-case hex digits"),
        ({"count": 0}, "count must be greater than or equal to 1"),
        ({"count": 10**30}, "count must be less than or equal to 9"),
        ({"count": True}, "count must be a whole number"),
        ({"count": "1"}, "count must be a whole number"),
        ({"good": 1}, "good must be true or false"),
        ({"inner": {}}, "inner must be a list"),
        ({"inner": [1]}, "inner.0 must be an object"),
        ({"inner": [{}]}, "inner.0.share is missing"),
        ({"inner": [{"share": True}]}, "inner.0.share must be a number"),
        ({"inner": [{"share": 1, "a\nb": 1}]}, "inner.0.'a\\nb' is not a known key"),
        ({"inner": [{"share": 1, "k" * 99: 1}]}, f"inner.0.{'k' * 40} is not a known key"),
        ({"marks": []}, "marks must be an object"),
        ({"marks": {"a": 1, "b": 2}}, "marks must have at most 1 item, not more"),
    ],
)
def test_a_broken_rule_is_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        validate(OUTER, VALID | change)
    assert str(caught.value) == sentence
    assert caught.value.field == sentence.split(" ")[0]


def test_the_whole_may_break_the_rule() -> None:
    with pytest.raises(InvalidDataError, match=r"^must be an object$"):
        validate(OUTER, [])


@pytest.mark.parametrize("name", ["X", "...", ".x", "é" * 256])
def test_a_label_is_any_line_that_spells_no_path(name: str) -> None:
    assert validate(OUTER, VALID | {"name": name}).name == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", " a", "a\n", "é" * 257])
def test_a_label_that_could_spell_a_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidDataError, match=r"^name must be 1 to 256 printable characters"):
        validate(OUTER, VALID | {"name": name})


KEYS = st.sampled_from(
    [
        *("format", "sha256", "n_bytes", "model_name", "fingerprints", "gain", "proven", "audited"),
        *("lineage", "signature", "peft_type", "num_virtual_tokens", "num_layers", "token_dim"),
        *("signers", "files", "route", "registry", "globs", "prompt", "other\n"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["CARTRIDGE", "ab" * 32, "**", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.dictionaries(KEYS, VALUES).map(json.dumps) | VALUES.map(json.dumps) | st.text()


@given(text=TEXTS)
def test_any_json_gives_only_the_documented_errors(
    tmp_path_factory: pytest.TempPathFactory, kv_prompt: Any, text: str
) -> None:
    """An entry of a registry, an adapter's configuration, consents and recorded repositories."""
    data = text.encode("utf-8", "surrogatepass")
    with contextlib.suppress(RegistryError):
        Entry.from_json(data, "entry")
    folder = tmp_path_factory.getbasetemp() / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / CONFIG_NAME).write_bytes(data)
    model: ModelIdentity = kv_prompt.manifest.model
    with pytest.raises(PromptError) as caught:
        import_adapter(folder, model, "n")
    assert "\n" not in str(caught.value)
    user_folder().mkdir(parents=True, exist_ok=True)
    consents_path().write_bytes(data)
    with contextlib.suppress(PromptError):
        trust_of(b"", "ab" * 32, None, "file")
    (user_folder() / "workspaces.json").write_bytes(data)
    with contextlib.suppress(StoreError):
        used_digests()


@given(document=st.dictionaries(KEYS, VALUES))
def test_any_toml_gives_only_the_documented_error(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / FILE_NAME
    try:
        text = tomlkit.dumps(document)
    except Exception:  # not everything that JSON holds is TOML
        text = repr(document)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ConfigurationError):
        read_configuration(path)
