"""`attune model …`: add, choose, check and remove the models that complete."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attune.errors import InterruptedRunError
from attune.output import PROBLEM, Json, print_json, say
from attune.repository_options import HELP, RepositoryOption

if TYPE_CHECKING:
    from code_model.model_resolution import ResolvedModel
    from code_model.user_models import UserModel, UserModels

app = typer.Typer(
    help="Add a model, choose which one completes, and check what it can do here.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `attune model list` shows it.")]


@app.command(name="list")
def list_models(root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """List your models, and which one serves the repository.

    Use it to find out which model completes here, and what else you could choose.
    """
    from attune.show_models import show_models
    from code_model.model_resolution import resolve_model
    from code_model.user_models import read_user_models

    models = read_user_models()
    resolved = resolve_model(None, root)
    rows = [_row(name, models, resolved) for name in models.names]
    if as_json:
        serving = {"name": resolved.name, "named_by": resolved.named_by}
        print_json({"models": rows, "serving": serving, "notices": list(resolved.notices)})
    else:
        show_models(rows, resolved)
    for notice in resolved.notices:
        say(notice)


def _row(name: str, models: "UserModels", resolved: "ResolvedModel") -> dict[str, Any]:
    from code_model.model_choice import DEFAULT, ModelChoice
    from code_model.user_models import SHIPPED, UserModel

    joined = models.server.get(name)
    own = models.model.get(name if joined is None else joined.model)
    model = own or UserModel(str(DEFAULT), source="shipped with Attune")
    if joined is not None:
        model = replace(model, source=joined.url, engine=None)
    choice = models.choice(name) or ModelChoice()
    missing = next((str(file.path) for file in choice.files if not file.path.is_file()), None)
    return {
        "name": name,
        **_described(model),
        "server": None if joined is None else joined.url,
        "default": name == (models.default or SHIPPED),
        "serving": name == resolved.name,
        "problem": None if missing is None else f"{missing} is missing; add the model again.",
    }


def _described(model: "UserModel") -> dict[str, Any]:
    return {
        "path": model.path,
        "source": model.source,
        "revision": model.revision,
        "engine": model.engine,
        "device": model.device,
        "precision": model.precision,
        "quantisation": model.quantisation,
        "layout": model.layout,
    }


@app.command()
def add(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a .gguf file, or hf://OWNER/NAME[/FILE.gguf][@REVISION].",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call it. Default: the folder's or file's name.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="decoder, transformers or llama.cpp. Default: the best.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps…")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    quantisation: Annotated[
        str | None, typer.Option(help="Quantise the weights while loading: int8 or int4.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="FIM template, or left-to-right. Default: by the tokenizer's tokens."),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The hub of hf://. Default: HF_ENDPOINT, huggingface.co."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a model to your models, under a name.

    Use it for a model that you have as a folder or a GGUF file, or that a hub has. Only a download
    connects to anything, and only to that hub. A model serves where you choose it: `attune model
    use NAME`.
    """
    from attune.show import waiting
    from code_model.model_addition import Computing, add_model, free_name, model_folder_of

    computing = Computing(_engine(engine), device, precision, quantisation, layout)
    path, commit = Path(source).expanduser().absolute(), None
    if source.startswith("hf://"):
        called = free_name(name, Path(source.partition("@")[0].removeprefix("hf://")), source)
        path, commit = _downloaded(source, hub)
    else:
        source = str(path)
        called = free_name(name, path, source)
    with waiting(f"Reading {path} and recording the hashes of its files…"):
        folder = model_folder_of(path, called, layout)
        model = add_model(called, folder, source, commit, computing)
    if as_json:
        print_json({"name": called, **_described(model)})
    else:
        say(f"added {called}; `attune model use {called}` lets it complete.")


def _downloaded(source: str, hub: str | None) -> tuple[Path, str]:
    """Download a model; its path and commit. Ctrl-C keeps what is there."""
    from attune.show_models import download_progress
    from code_model.hub_download import download, parse_address
    from code_model.user_models import downloads_folder

    address = parse_address(source)
    try:
        with download_progress(address.repository) as on_bytes:
            result = download(address, downloads_folder(), on_bytes, hub)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "stopped by Ctrl-C; what was downloaded is kept, and the same command goes on."
        ) from None
    return result.path, result.commit


def _engine(named: str | None) -> Any:
    from typing import get_args

    from code_model.model_choice import Engine

    if named is not None and named not in get_args(Engine):
        raise typer.BadParameter(f"there is no engine {named}; {', '.join(get_args(Engine))}")
    return named


@app.command()
def use(
    parsed: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Left out: the repository follows your default again."),
    ] = None,
    repository: Annotated[
        bool, typer.Option("--repository", help="Only for the repository around.")
    ] = False,
    root: Annotated[Path | None, typer.Option("-C", help=f"With --repository. {HELP}")] = None,
    as_json: Json = False,
) -> None:
    """Let a model complete: everywhere, or with --repository in one repository.

    Use it to switch models. A repository's choice is written to .attune/attune.toml by name, so
    a team shares it; each member adds the model under that name. Running editors follow.
    """
    from code_context.repository_root import find_repository_root
    from code_model.model_resolution import resolve_model, unknown_model
    from code_model.user_models import read_user_models, set_default
    from prompts.configuration import FOLDER, set_model

    models = read_user_models()
    if name is not None and models.choice(name) is None:
        raise unknown_model(name, models)
    folder = root if root is not None else find_repository_root(Path.cwd() / "file")
    if repository:
        set_model(folder / FOLDER, name)
    elif name is None:
        raise typer.BadParameter("name a model, or give --repository")
    else:
        set_default(name)
    resolved = resolve_model(None, folder)
    if as_json:
        serving = {"name": resolved.name, "named_by": resolved.named_by}
        print_json({"serving": serving, "notices": list(resolved.notices)})
        return
    say(_outcome(name, folder if repository else None, resolved))


def _outcome(name: str | None, folder: Path | None, resolved: "ResolvedModel") -> str:
    if name is None:
        return f"{folder} follows your default again: {resolved.name}."
    if folder is not None:
        return f"{name} completes in {folder}."
    if resolved.name != name:
        return f"{name} is your default; here {resolved.name} serves ({resolved.named_by})."
    return f"{name} completes wherever no repository names another model."


@app.command()
def check(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|PATH", help="Default: the model that serves the repository."),
    ] = None,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Check a model: its family, what it can serve and tune, memory, speed, and its files' hashes.

    Use it before you tune a prompt for a model, or when a model does not load. Ends with 1 if it
    would be refused.
    """
    from attune.show import waiting
    from attune.show_models import show_check

    with waiting("Reading the model's files, loading it and measuring its speed…"):
        report = _checked(name, root)
    if as_json:
        print_json(report)
    else:
        show_check(report)
    if report["refusals"]:
        raise typer.Exit(PROBLEM)


def _checked(name: str | None, root: Path) -> dict[str, Any]:
    from code_model.language_model import ModelLoadError
    from code_model.loading import load_model
    from code_model.memory import free_bytes, free_gpu_bytes
    from code_model.model_addition import verify_files
    from code_model.model_check import capabilities_of, facts_of
    from code_model.model_folder import read_model_folder
    from code_model.model_resolution import resolve_model
    from code_model.out_of_memory import OutOfModelMemoryError
    from code_model.user_models import read_user_models

    resolved = resolve_model(name, root)
    added = read_user_models().model.get(resolved.name)
    refusals = [] if added is None else list(verify_files(resolved.name, added))
    report: dict[str, Any] = {
        "name": resolved.name,
        "path": str(resolved.choice.path),
        "free_bytes": free_bytes(),
        "free_gpu_bytes": free_gpu_bytes(),
        "facts": None,
        "here": None,
        "refusals": refusals,
    }
    try:
        folder = read_model_folder(resolved.choice.path, layout=resolved.choice.layout)
        facts = facts_of(folder)
        report["facts"] = facts.to_json()
        refusals += facts.refusals
        if not refusals:
            # resolved again, because the files' times may have been recorded anew
            model = load_model(resolve_model(name, root).choice.without_server)
            report["here"] = capabilities_of(model, folder).to_json()
    except (ModelLoadError, OutOfModelMemoryError) as error:
        refusals.append(str(error))
    return report


@app.command()
def remove(name: Name, as_json: Json = False) -> None:
    """Remove a model from your models; files that Attune downloaded are deleted.

    Use it to free disk space. A folder or file that you added yourself stays where it is.
    """
    from code_model.model_addition import delete_own_files
    from code_model.model_resolution import unknown_model
    from code_model.user_models import forget_model, read_user_models

    models = read_user_models()
    model = models.model.get(name)
    if name in models.server:
        forget_model(name)
        say(f"left {name}; no code is sent there any more.")
        if as_json:
            print_json({"name": name, "deleted": None})
        return
    if model is None:
        raise unknown_model(name, models)
    forget_model(name)
    path = Path(model.path)
    deleted = delete_own_files(model)
    if as_json:
        print_json({"name": name, "deleted": str(path) if deleted else None})
    else:
        say(f"removed {name}; " + ("its files are deleted." if deleted else f"{path} stays."))
