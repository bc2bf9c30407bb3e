"""The manifest: canonical JSON, strict reading."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from prompts.errors import CorruptPrompt, PromptWriteError, UnsupportedVersion
from prompts.file import PromptFile
from prompts.form import FORMS
from prompts.manifest import MAX_MANIFEST_BYTES, OPTIONAL, FileFields, Manifest, layout_with


@pytest.fixture
def fields(kv_prompt: PromptFile) -> dict[str, Any]:
    """A valid manifest as a fresh dict, for a test to break."""
    loaded: dict[str, Any] = json.loads(kv_prompt.manifest.to_json())
    return loaded


def check_refused(text: str, words: str) -> None:
    """Assert that `text` is refused in one sentence that holds `words`."""
    with pytest.raises(CorruptPrompt) as caught:
        Manifest.from_json(text)
    message = str(caught.value)
    assert words in message
    assert message.endswith("tune the prompt again.")
    assert "\n" not in message


def test_to_json_is_canonical(kv_prompt: PromptFile) -> None:
    """Sorted keys, no spaces, ASCII, and the order of dict insertion does not matter."""
    manifest = kv_prompt.manifest
    text = manifest.to_json()
    assert text.isascii()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    turned = dataclasses.replace(manifest, recipe=dict(reversed(manifest.recipe.items())))
    assert turned.to_json() == text


def test_the_layout_binds_the_contexts_parameters() -> None:
    """By their canonical JSON; the value is written down, because files in use hold it."""
    layout = "ab" * 32
    assert layout_with(layout, {}) == layout
    text = f'["{layout}",{{"a":[2],"b":1}}]'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert layout_with(layout, {"b": 1, "a": [2]}) == expected
    assert layout_with(layout, {"a": [2], "b": 1}) == expected


def test_a_form_of_a_later_version_names_those_that_are_allowed(fields: dict[str, Any]) -> None:
    fields |= {"format_version": 1, "form": "kv-nope"}
    check_refused(json.dumps(fields), 'form must be "kv" or "embedding" in version 1')


def test_a_manifest_of_the_largest_size_is_read(fields: dict[str, Any]) -> None:
    room = MAX_MANIFEST_BYTES - len(json.dumps(fields | {"colour": ""}))
    text = json.dumps(fields | {"colour": "x" * room})
    assert len(text) == MAX_MANIFEST_BYTES
    assert Manifest.from_json(text).name == fields["name"]
    with pytest.raises(CorruptPrompt):
        Manifest.from_json(json.dumps(fields | {"colour": "x" * (room + 1)}))


def test_defaults_make_no_timestamp(kv_prompt: PromptFile) -> None:
    """Nothing in a manifest depends on the clock unless the caller puts it there."""
    manifest = Manifest(
        name="n",
        form="kv",
        num_virtual_tokens=1,
        model=kv_prompt.manifest.model,
        attune_version="0.1.0",
    )
    assert not manifest.proven
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_from_json_ignores_unknown_keys(fields: dict[str, Any], kv_prompt: PromptFile) -> None:
    """A later release may add keys within a version."""
    fields["colour"] = "green"
    fields["model"]["parameters"] = 1_000
    assert Manifest.from_json(json.dumps(fields)) == kv_prompt.manifest


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("name", " padded"),
        ("name", "a\nb"),
        ("name", "a\u202eb"),
        ("name", "../up"),
        ("name", ".."),
        ("name", "a" * 257),
        ("name", None),
        ("form", "lora"),
        ("form", ["kv"]),
        ("num_virtual_tokens", 0),
        ("num_virtual_tokens", 4097),
        ("num_virtual_tokens", 3.0),
        ("num_virtual_tokens", True),
        ("num_virtual_tokens", "3"),
        ("model", None),
        ("model.model_fingerprint", "1A" * 32),
        ("model.model_fingerprint", "1a" * 31),
        ("model.tokenizer_fingerprint", "2b" * 32 + "\n"),
        ("model.layout_fingerprint", 3),
        ("model.num_layers", 0),
        ("model.num_key_value_heads", -1),
        ("model.head_dim", 10**12),
        ("model.hidden_size", False),
        ("languages", "python"),
        ("languages", ["python", ""]),
        ("languages", ["python"] * 257),
        ("repository", "/home/someone/project"),
        ("repository", "c:\\project"),
        ("commit", "HEAD"),
        ("recipe", []),
        ("measured", None),
        ("measured", {"proven": 1}),
        ("licence", ""),
        ("lineage", ["abc"]),
        ("lineage", [None]),
        ("attune_version", 1),
        ("task", ""),
        ("globs", "src/**"),
        ("globs", ["a\nb"]),
        ("context", []),
        ("audit", "passed"),
        ("audit", {"passed": 1}),
        ("format_version", "1"),
        ("format_version", True),
        ("format_version", 0),
    ],
)
def test_from_json_refuses_bad_field(fields: dict[str, Any], key: str, value: object) -> None:
    """Each field has its rule, and the sentence names the field."""
    *parents, last = key.split(".")
    owner = fields[parents[0]] if parents else fields
    owner[last] = value
    check_refused(json.dumps(fields), f"manifest field {key}")


@pytest.mark.parametrize("key", ["languages", "lineage", "globs"])
def test_a_list_of_bad_items_is_one_error(fields: dict[str, Any], key: str) -> None:
    """A megabyte of bad items costs no error object for each."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Manifest).validate_python(fields | {key: [""] * 1000})
    assert caught.value.error_count() == 1


REQUIRED = [
    "format_version",
    "content_sha256",
    *(field.name for field in dataclasses.fields(Manifest) if field.name not in OPTIONAL),
]


def test_a_form_and_its_version_belong_together(fields: dict[str, Any]) -> None:
    """Version 1 has no virtual tokens without positions, version 2 no others, version 3 all."""
    assert fields["format_version"] == 3
    for version, forms in {1: ("kv", "embedding"), 2: ("kv-nope",), 3: FORMS[3]}.items():
        for form in ("kv", "embedding", "kv-nope"):
            text = json.dumps(fields | {"form": form, "format_version": version})
            if form in forms:
                assert Manifest.from_json(text).form == form
            else:
                check_refused(text, "manifest field form")


@pytest.mark.parametrize("key", REQUIRED)
def test_from_json_refuses_missing_field(fields: dict[str, Any], key: str) -> None:
    """Every required key of the version is written, so a missing one is damage."""
    del fields[key]
    check_refused(json.dumps(fields), f"manifest field {key} is missing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid JSON"),
        ("[]", "must be a JSON object"),
        ('{"a":1,"a":1}', "duplicate key"),
        ('{"recipe":{"x":{"b":0,"b":1}}}', "duplicate key"),
        ('{"a":NaN}', "NaN"),
        ('{"a":-Infinity}', "-Infinity"),
        ('{"a":1e999}', "too large"),
        ('{"a":' + "9" * 5000 + "}", "more than 20 digits"),
        ('{"a":"\\ud800"}', "surrogate"),
        ('{"\\udfff":0}', "surrogate"),
        ('{"a":' + "[" * 16 + "]" * 16 + "}", "deeper than 16"),
        ("[" * 200_000, "deeper than 16"),
        ('{"a":' * 100_000, "deeper than 16"),
        ('{"a":"é"}', "ASCII"),
        ('{"a":"' + "x" * (1 << 20) + '"}', "at most 1048576 bytes"),
    ],
)
def test_from_json_refuses_loose_json(text: str, words: str) -> None:
    """Two readers must not be able to understand one manifest differently."""
    check_refused(text, words)


def test_from_json_accepts_the_deepest_allowed(fields: dict[str, Any]) -> None:
    """The limit on nesting is exact: manifest, recipe and 14 lists."""
    text = json.dumps(fields).replace('"seed": 7', '"seed": ' + "[" * 14 + "]" * 14)
    assert Manifest.from_json(text).recipe["seed"] != 7


@pytest.mark.parametrize("seed", ["9" * 20, "-" + "9" * 19])
def test_from_json_accepts_the_longest_whole_number(fields: dict[str, Any], seed: str) -> None:
    """The limit on digits is exact, sign included."""
    text = json.dumps(fields).replace('"seed": 7', f'"seed": {seed}')
    assert Manifest.from_json(text).recipe["seed"] == int(seed)
    check_refused(text.replace(seed, f"{seed}0"), "more than 20 digits")


def test_from_json_calls_a_later_version_unsupported(fields: dict[str, Any]) -> None:
    """The version decides before any other rule is applied."""
    with pytest.raises(UnsupportedVersion, match=r"format version 4.*update Attune"):
        Manifest.from_json(json.dumps({"format_version": 4, "everything": "else is new"}))


@pytest.mark.parametrize("key", OPTIONAL)
def test_optional_field_that_says_nothing(
    fields: dict[str, Any], kv_prompt: PromptFile, key: str
) -> None:
    """Absent and null are one, and neither is written, so that old files keep their bytes."""
    assert key not in fields
    fields[key] = None
    manifest = Manifest.from_json(json.dumps(fields))
    assert manifest == kv_prompt.manifest
    assert manifest.to_json() == kv_prompt.manifest.to_json()


@pytest.mark.parametrize("fields_of_older_releases", [{"created": 1}, {"show_threshold": "x"}])
def test_from_json_ignores_what_older_releases_wrote(
    fields: dict[str, Any], kv_prompt: PromptFile, fields_of_older_releases: dict[str, Any]
) -> None:
    """Keys without a use are neither read nor judged."""
    assert Manifest.from_json(json.dumps(fields | fields_of_older_releases)) == kv_prompt.manifest


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_to_json_refuses_what_json_cannot_hold(kv_prompt: PromptFile, value: Any) -> None:
    """A wrong recipe is refused before anything is written."""
    manifest = dataclasses.replace(kv_prompt.manifest, recipe={"x": value})
    with pytest.raises(PromptWriteError, match="finite numbers"):
        manifest.to_json()


def test_example_of_the_specification_reads() -> None:
    """The manifest shown in docs/prompt-file-format.md is a valid one with every key."""
    page = Path(__file__).parents[3] / "docs" / "prompt-file-format.md"
    example = page.read_text("utf-8").split("```json\n")[1].split("```")[0]
    manifest = Manifest.from_json(example)
    assert manifest.shape == (256, 2 * 8 * 2 * 64)
    digest = FileFields.from_json(example).content_sha256
    assert digest is not None
    assert json.loads(manifest.to_json(digest)) == json.loads(example)
