"""The `attune` command. Sub-commands import what they need when they run, so that help is fast."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from attune import __version__, model_commands, prompt_commands, sharing_commands, team_commands
from attune.errors import InterruptedRunError, report_error
from attune.model_option import ModelOption, choose_model
from attune.output import INTERRUPTED, PROBLEM, Json, print_json, say
from attune.repository_options import RepositoryArgument
from attune.tune import evaluate, report, status, tune
from attune.why import why

MIN_TOKEN = 32
MAX_TOKEN_BYTES = 4096

app = typer.Typer(
    help="Inline completions from a frozen code model, attuned to your repository.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sharing_commands.add_to(prompt_commands.app)
app.add_typer(prompt_commands.app, name="prompt")
app.add_typer(model_commands.app, name="model")
app.add_typer(team_commands.app, name="team")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"attune {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show a traceback when something fails.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Declare the options before the sub-command; `main` reads --verbose itself."""


@app.command()
def complete(
    place: Annotated[
        str, typer.Argument(metavar="FILE:LINE:COL", help="As editors show it: 1-based.")
    ],
    prompt: Annotated[
        str | None, typer.Option(help="Prompt file, or none. Default: the repository's.")
    ] = None,
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Print the completion at a position in a file.

    Use it to try a model or a prompt without an editor.
    """
    from attune.cursor import read_cursor_position
    from attune.prompt_choice import choose_prompt
    from attune.repository_index import open_retriever
    from attune.show import waiting

    at = read_cursor_position(place)
    if at.notice is not None:
        say(at.notice)
    retriever = open_retriever(at.root)
    with waiting("Loading the model and completing…"):
        from code_model.loading import load_model
        from completion.model_input import CompletionPoint
        from completion.pipeline import complete as complete_at
        from completion.reasons import REASONS

        loaded = load_model(choose_model(model, at.root))
        choice = choose_prompt(at, prompt, loaded)
        answer = complete_at(
            loaded.open(choice.prompt),
            CompletionPoint.parse(at.text, at.path, at.offset, retriever),
            explicit=True,
        )
    for problem in choice.problems:
        say(problem)
    if as_json:
        generation = answer.generation
        print_json(
            {
                "text": answer.text,
                "kind": None if answer.kind is None else answer.kind.value,
                "reason": answer.reason,
                "prompt": None if choice.prompt is None else choice.prompt.manifest.name,
                "new_tokens": len(generation.ids) if generation else 0,
                "logprobs": [round(value, 4) for value in generation.logprobs]
                if generation
                else [],
            }
        )
    elif answer.text:
        print(answer.text)  # noqa: T201
    if not answer.text:
        say(f"no completion here: {REASONS[answer.reason or 'nothing_to_add']}.")
        raise typer.Exit(PROBLEM)


app.command()(tune)
app.command(name="eval")(evaluate)
app.command()(status)
app.command()(report)
app.command()(why)


@app.command()
def serve(
    tcp: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Listen there instead of stdio.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="With --tcp: serve only a client that sends this file's content."),
    ] = None,
) -> None:
    """Run the language server, which an editor starts.

    Use --tcp for an editor that connects instead. An address that other machines reach needs
    --token-file; the editor sends the token as initializationOptions.token.
    """
    from lsp_server.connection import is_loopback
    from lsp_server.server import serve as serve_lsp

    if tcp is None:
        serve_lsp()
        return
    host, _, port = tcp.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise typer.BadParameter("write HOST:PORT, for example 127.0.0.1:8765")
    host = host.strip("[]")
    token = None if token_file is None else _read_token(token_file)
    if token is None and not is_loopback(host):
        raise typer.BadParameter(
            f"other machines reach {host}; listen on 127.0.0.1, or name a --token-file"
        )
    try:
        serve_lsp((host, int(port)), token)
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {tcp} ({error.strerror})") from error


def _read_token(file: Path) -> str:
    from file_access.regular_file import read_regular_file

    try:
        token = read_regular_file(file, MAX_TOKEN_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read as a token") from error
    if len(token) < MIN_TOKEN:
        raise typer.BadParameter(
            f"a token has at least {MIN_TOKEN} characters; "
            f"`openssl rand -hex 32 > {file}` makes one"
        )
    return token


@app.command()
def doctor(
    repository: RepositoryArgument = Path(), model: ModelOption = None, as_json: Json = False
) -> None:
    """Check installation, model and prompt.

    Use it when no completions appear.
    """
    from attune.doctor import examine
    from attune.show import show_findings, waiting

    if not repository.is_dir():
        raise typer.BadParameter(f"there is no folder {repository}")
    with waiting("Loading the model and trying it…"):
        findings = examine(repository, model)
    if as_json:
        print_json({"findings": [finding.to_json() for finding in findings]})
    else:
        show_findings(findings)
    if any(finding.problem for finding in findings):
        raise typer.Exit(PROBLEM)


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # in the C locale it could not print all paths
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    options = sys.argv[1:]
    before_command = next((i for i, a in enumerate(options) if a[:1] != "-"), len(options))
    verbose = bool({"-v", "--verbose"} & set(options[:before_command]))
    as_json = "--json" in options  # read here, because an error may precede the command's parsing
    # GNU OpenMP reads it when torch loads. By default its threads spin for milliseconds while they
    # wait for each other, which makes a decode many times slower as soon as the cores are busy.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        exit_code = app(prog_name="attune", standalone_mode=False) or 0
        if exit_code == INTERRUPTED:
            report_error(InterruptedRunError("stopped by Ctrl-C."), as_json=as_json)
    except Exception as error:
        if verbose and not isinstance(error, TyperException):
            raise
        exit_code = report_error(error, as_json=as_json)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
