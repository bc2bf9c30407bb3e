"""Settings and the status that an editor shows."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from completion.errors import ModelUnavailableError
from lsp_server.settings import MAX_COMPARISON_SHARE, Settings, parse_settings

NONE = {"prompt": None, "model": None}
LOADING = {"kind": "Normal", "busy": True, "message": "Loading the model…", **NONE}
READY = {"kind": "Normal", "busy": False, "message": "Ready.", **NONE}


async def test_loading_then_ready(client, opened_with):
    """A completion sends no status."""
    client.open("abc")
    await client.complete(0, 1)
    assert client.statuses == [LOADING, READY]
    assert opened_with == [(Settings(), [Path("/work/space")])]


async def test_off_opens_no_model(fresh, opened_with):
    await fresh.start({"enable": False})
    fresh.open("abc")
    assert (await fresh.complete(0, 1))["result"] == {"items": []}
    assert opened_with == []
    assert [status["kind"] for status in fresh.statuses] == ["Inactive"]


async def test_wrong_settings_fall_back_and_are_reported(fresh, opened_with):
    """The warning stays in the status bar when the model is ready."""
    await fresh.start({"prompt": 5, "enable": True})
    assert opened_with == [(Settings(), [Path("/work/space")])]
    assert [status["kind"] for status in fresh.statuses] == ["Normal", "Warning"]
    assert '"prompt"' in fresh.statuses[-1]["message"]


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            ModelUnavailableError("There is no model folder x; do y."),
            "There is no model folder x; do y.",
        ),
        (OSError("secret"), "OSError"),
    ],
)
async def test_unusable_model_is_reported_and_answers_stay_empty(fresh, raised, message):
    def fail(settings, roots, report):
        raise raised

    fresh.server.open_model = fail
    await fresh.start()
    fresh.open("abc")
    assert (await fresh.complete(0, 1))["result"] == {"items": []}
    assert [status["kind"] for status in fresh.statuses] == ["Normal", "Error"]
    assert message in fresh.statuses[-1]["message"]
    assert "secret" not in fresh.statuses[-1]["message"]


@pytest.mark.parametrize("options", [None, {}, {"prompt": None, "enable": True}])
def test_defaults(options):
    assert parse_settings(options) == (Settings(prompt=None, enable=True), None)


def test_settings_are_read():
    given = {
        "prompt": "team.attune.safetensors",
        "model": "qwen",
        "enable": False,
        "trusted": False,
        "comparisonShare": 0.25,
        "statistics": False,
    }
    wanted = Settings(
        Path("team.attune.safetensors"),
        model="qwen",
        enable=False,
        trusted=False,
        comparison_share=0.25,
        statistics=False,
    )
    assert parse_settings(given) == (wanted, None)
    assert not wanted.without_prompt
    assert parse_settings({"prompt": "none"})[0].without_prompt


def test_the_extension_has_the_same_defaults():
    """The defaults in package.json are those of the server."""
    package = Path(__file__).parents[3] / "vscode-client" / "package.json"
    contributed = json.loads(package.read_text(encoding="utf-8"))["contributes"]["configuration"]
    defaults = {key: schema["default"] for key, schema in contributed["properties"].items()}
    assert len(defaults) < 15
    assert (defaults["attune.promptFile"], Settings.prompt) == ("", None)  # the client's null
    assert (defaults["attune.model"], Settings.model) == ("", None)
    for field in fields(Settings):
        if field.name not in ("prompt", "model", "trusted"):
            assert defaults[f"attune.{to_camel(field.name)}"] == field.default
    share = contributed["properties"]["attune.comparisonShare"]
    assert (share["minimum"], share["maximum"]) == (0, MAX_COMPARISON_SHARE)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "settings"),
        ("x", "settings"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a\0"}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"model": ""}, "model"),
        ({"model": 1}, "model"),
        ({"comparisonShare": 0.6}, "comparisonShare"),
        ({"comparisonShare": float("nan")}, "comparisonShare"),
        ({"comparisonShare": True}, "comparisonShare"),
        ({"comparison_share": 0.1}, "comparison_share"),
        ({"statistics": None}, "statistics"),
        ({"enable": 1}, "enable"),
        ({"enable": None}, "enable"),
        ({"promt": "x"}, "promt"),
    ],
)
def test_wrong_settings_are_named(options, named):
    settings, problem = parse_settings(options)
    assert settings == Settings()
    assert named in problem


def test_unreadable_trust_is_no_trust():
    settings, problem = parse_settings({"trusted": "yes"})
    assert settings == Settings(trusted=False)
    assert "false is used" in problem


def test_each_wrong_setting_has_a_sentence_and_the_others_are_used():
    settings, problem = parse_settings({"prompt": 1, "enable": False, "old": 1, "statistics": 0})
    assert settings == Settings(enable=False)
    assert problem == (
        'The setting "prompt" must be a path, "none" or null; null is used. '
        'There is no setting "old". '
        'The setting "statistics" must be true or false; true is used.'
    )
