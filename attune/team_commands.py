"""`attune team …`: start a vLLM server for a team, join one, and check one."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attune.consent import ConsentRequiredError
from attune.output import PROBLEM, Json, print_json, say
from attune.repository_options import RepositoryOption

if TYPE_CHECKING:
    from code_model.user_models import UserServer

app = typer.Typer(
    help="Let a team's vLLM server complete, with a model of this machine behind it.",
    no_args_is_help=True,
)


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="One of your models.")] = "shipped",
    host: Annotated[str, typer.Option(help="Where vLLM listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    precision: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    tensor_parallel_size: Annotated[int, typer.Option(min=1, help="GPUs for the weights.")] = 1,
    positions: Annotated[
        int | None, typer.Option(min=64, help="Of one request. Default: the model's.")
    ] = None,
    prompts: Annotated[
        bool, typer.Option(help="Serve kv prompts of your store, which needs Attune beside vLLM.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Write the command line that starts vLLM for one of your models, and explain it.

    Use it on the machine with the GPUs. It starts nothing: run the line, or put it into a unit of
    systemd or a container. vLLM computes floats: of a model that is stored in 8 or 4 bits, they are
    written into your data folder first.
    """
    from code_model.model_folder import read_model_folder
    from code_model.vllm_command import KEY_VARIABLE, VERIFIED_VERSION, vllm_command
    from prompts.user import store_folder

    choice = _on_this_machine(model)
    command = vllm_command(
        read_model_folder(choice.path, layout=choice.layout),
        host=host,
        port=port,
        precision=precision,
        tensor_parallel_size=tensor_parallel_size,
        positions=positions,
        store=store_folder() if prompts else None,
    )
    if as_json:
        print_json({"command": command.line, **asdict(command)})
        return
    for part in (*command.environment, *command.parts):
        say(f"{' '.join(part.words)}: {part.reason}")
    say(f"set {KEY_VARIABLE} to the key that editors must send; vLLM {VERIFIED_VERSION} is tested")
    print(command.line)  # noqa: T201


@app.command()
def join(
    url: Annotated[
        str | None, typer.Argument(help="Default: the one that this repository names.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the server.")] = "team",
    model: Annotated[
        str, typer.Option(help="Your copy of the model that the server computes.")
    ] = "shipped",
    fallback: Annotated[
        str | None, typer.Option(help="Your model that answers while the server does not.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="env:VARIABLE or keyring:NAME.")
    ] = None,
    timeout_ms: Annotated[
        int, typer.Option(min=50, max=60_000, help="How long an editor waits for an answer.")
    ] = 1000,
    consent: Annotated[
        bool, typer.Option("--consent", help="Consent that code is sent to this server.")
    ] = False,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Join a team server: consent that the code around the cursor is sent to it.

    Use it once for each server. It serves in the repositories that name its address, and wherever
    you choose it: `attune model use NAME`.
    """
    from code_model.user_models import NAME, NAME_RULE, record_server

    if NAME.fullmatch(name) is None or name == "shipped":
        raise typer.BadParameter(f"a server's name has {NAME_RULE}, and is not shipped")
    joined = _described(url or _proposed(root), model, fallback, key, timeout_ms)
    _require_consent(joined.url, given=consent)
    joined, report = _agreed(joined)
    if report["refusals"]:
        _show(report, as_json=as_json)
        raise typer.Exit(PROBLEM)
    record_server(name, joined)
    if as_json:
        print_json({"name": name, "server": asdict(joined), "report": report})
    else:
        _show(report, as_json=False)
        say(f"joined {name}; `attune model use {name}` lets it complete everywhere.")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="As `attune model list` shows it.")] = "team",
    as_json: Json = False,
) -> None:
    """Check a server that you have joined: its model, tokenizer, layout, prompts and speed.

    Use it when the status says that the server does not serve. Ends with 1 if it cannot.
    """
    from code_model.model_resolution import unknown_model
    from code_model.user_models import read_user_models

    models = read_user_models()
    joined = models.server.get(name)
    if joined is None:
        raise unknown_model(name, models)
    report = _inspected(joined)
    _show(report, as_json=as_json)
    if report["refusals"]:
        raise typer.Exit(PROBLEM)


def _on_this_machine(name: str) -> Any:
    from code_model.model_resolution import unknown_model
    from code_model.user_models import read_user_models

    models = read_user_models()
    choice = models.choice_here(name)
    if choice is None:
        raise unknown_model(name, models)
    return choice


def _proposed(root: Path) -> str:
    """The address that a repository names."""
    from prompts.configuration import FILE_NAME, FOLDER, read_configuration

    team = read_configuration(root / FOLDER / FILE_NAME).team
    if team is None:
        raise typer.BadParameter("this repository names no server; give its URL")
    return team.url


def _described(
    url: str, model: str, fallback: str | None, key: str | None, timeout_ms: int
) -> "UserServer":
    from code_model.team_server import KEY_RULE, URL_RULE, is_key_source, is_server_url
    from code_model.user_models import UserServer

    if not is_server_url(url):
        raise typer.BadParameter(f"{url!r} is no server's address, which is {URL_RULE}")
    if key is not None and not is_key_source(key):
        raise typer.BadParameter(f"the key's source is {KEY_RULE}, not the key itself")
    for named in (model, fallback):
        if named is not None:
            _on_this_machine(named)
    return UserServer(url, model, fallback, key, timeout_ms=timeout_ms)


def _require_consent(url: str, *, given: bool) -> None:
    """Raises `ConsentRequiredError`; only a user at a terminal is asked."""
    what = f"The code around the cursor, of this file and others, is sent to {url}."
    if not given and sys.stdin.isatty():
        say(what)
        given = typer.confirm("Send it there while you type?", err=True)
    if not given:
        refusal = ConsentRequiredError(f"{what} Find out who runs it before you consent.")
        refusal.add_note("--consent gives your consent.")
        raise refusal


def _agreed(joined: "UserServer") -> tuple["UserServer", dict[str, Any]]:
    """The server with what it stated about itself, and the report on it."""
    from dataclasses import replace

    report = _inspected(joined)
    precision = report["precision"] or joined.precision
    stated = {"positions": report["positions"], "kv_prompts": bool(report["has_kv_prompts"])}
    return replace(joined, precision=precision, **stated), report


def _inspected(joined: "UserServer") -> dict[str, Any]:
    from dataclasses import replace

    from code_model.vllm_inspection import inspect_server

    choice = replace(_on_this_machine(joined.model), server=joined.server)
    return {"url": joined.url, **asdict(inspect_server(choice))}


def _show(report: dict[str, Any], *, as_json: bool) -> None:
    from attune.show import show_two_columns

    if as_json:
        print_json(report)
        return
    answer = {True: "yes", False: "no", None: "not asked"}
    times = [report["first_token_ms"], report["per_token_ms"]]
    first, per = ("not measured" if each is None else f"{each:.1f} ms" for each in times)
    rows = [
        ("server", report["url"]),
        ("model", report["model"]),
        ("precision", report["precision"] or "not stated"),
        ("positions", str(report["positions"] or "not stated")),
        ("embedding prompts", answer[report["takes_embeddings"]]),
        ("kv prompts", answer[report["has_kv_prompts"]]),
        ("first token", first),
        ("each further token", per),
    ]
    show_two_columns(rows)
    for refusal in report["refusals"]:
        say(refusal)
