"""`attune tune`, `eval`, `status` and `report`: a prompt and its proof."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attune.errors import InterruptedRunError
from attune.model_option import ModelOption, choose_model
from attune.output import PROBLEM, Json, print_json, say
from attune.repository_options import RepositoryArgument, is_given
from prompts.form import Form
from tuning.config import Task

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from prompts.file import PromptFile
    from tuning.config import TuningConfig
    from tuning.progress import OnProgress
    from tuning.report import TuningReport

Against = Annotated[
    list[Path] | None,
    typer.Option(help="Prompt of another repository to compare with; may be given again."),
]
Out = Annotated[
    Path | None, typer.Option(help="Prompt file to write. Default: in REPOSITORY/.attune.")
]
Minutes = Annotated[float, typer.Option(min=0.05, max=10_000, help="Training time.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Steps instead of minutes: the same bytes each time.")
]
PromptForm = Annotated[
    Form | None,
    typer.Option(
        help="kv-nope, kv (weaker, for PEFT and llama.cpp) or embedding (small, weakest). "
        "Default: the first of these that the model's engine serves."
    ),
]
Tokens = Annotated[
    int, typer.Option(min=32, max=1024, help="Virtual tokens to tune; kv-nope keeps half of them.")
]
Include = Annotated[
    list[str] | None,
    typer.Option(help="Tune for these files only (a .gitignore pattern); may be given again."),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Tune the present prompt on what changed.")
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Random seed; it also decides the split.")
]
JsonLines = Annotated[
    bool, typer.Option("--progress-json", help="Show progress as JSON lines on stderr.")
]


def tune(
    parsed: typer.Context,
    repository: RepositoryArgument = Path(),
    out: Out = None,
    minutes: Minutes = 4.0,
    steps: Steps = None,
    form: PromptForm = None,
    tokens: Tokens = 256,
    include: Include = None,
    task: Annotated[Task, typer.Option(help="completion, or docstring.")] = "completion",
    refresh: Refresh = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; do not resume a killed run.")
    ] = False,
    against: Against = None,
    seed: Seed = 1,
    model: ModelOption = None,
    details: Annotated[
        bool, typer.Option("--details", help="Show the scores of every condition, too.")
    ] = False,
    json_lines: JsonLines = False,
    as_json: Json = False,
) -> None:
    """Tune a prompt on a repository and prove it.

    The proof is made on files that tuning has not seen. Use it once for a repository, and again
    with --refresh when its code has changed.
    """
    from attune.show_tuning import show_report
    from attune.tuning_progress import progress_display
    from tuning.config import TuningConfig

    if refresh:
        for name in ("include", "form", "tokens", "task", "seed"):
            if is_given(parsed, name):
                raise typer.BadParameter(f"--refresh keeps the prompt's own; leave out --{name}")
    config = TuningConfig(
        num_virtual_tokens=tokens,
        minutes=minutes,
        steps=steps,
        include=tuple(include or ()),
        task=task,
        seed=seed,
    )
    is_main_process = os.environ.get("RANK", "0") == "0"  # of those that torchrun starts
    progress = progress_display(json_lines, visible=is_main_process)
    report = _tuned(
        repository, out, config, form, progress, against or [], model, refresh=refresh, fresh=fresh
    )
    if not is_main_process:
        return
    if as_json:
        print_json(report.to_json())
    else:
        show_report(report, details=details)
    _say_outcome(report)


def _tuned(
    repository: Path,
    out: Path | None,
    config: "TuningConfig",
    wanted: Form | None,
    progress: "AbstractContextManager[OnProgress]",
    against: list[Path],
    model_name: str | None,
    *,
    refresh: bool,
    fresh: bool,
) -> "TuningReport":
    """Run the tuning; Ctrl-C before its first step ends the command."""
    from attune.show import waiting
    from prompts.file import read_prompt
    from tuning.corpus import collect

    corpus = collect(repository)
    others = [read_prompt(path) for path in against]
    present = _present(out, corpus.root) if refresh else None
    if present is not None:
        wanted = read_prompt(present).manifest.form
    try:
        with waiting("Loading the model…"):
            from code_model.compatibility import form_to_tune
            from code_model.loading import load_for_tuning
            from tuning.run import tune as run

            model, served = load_for_tuning(choose_model(model_name, corpus.root), wanted)
            form = form_to_tune(served, wanted)
        if wanted is None and form != config.form:
            why, _, _ = (served.refusal(config.form) or "").partition(";")
            say(f"the form is {form}, because {why}.")
        config = replace(config, form=form)
        with progress as on_progress:
            return run(
                model,
                corpus,
                out,
                config,
                on_progress,
                against=others,
                present=present,
                fresh=fresh,
                served=served,
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "stopped by Ctrl-C before anything was tuned; nothing was written."
        ) from None


def _say_outcome(report: "TuningReport") -> None:
    """Report the outcome on stderr; ends the command with an error if no prompt serves."""
    if report.interrupted:
        kept = f"the prompt so far had proved itself: {report.written}"
        say(f"stopped by Ctrl-C; {kept if report.written else 'nothing was written'}.")
        if report.resumable:
            say("the same command goes on from here.")
        raise typer.Exit(0 if report.written else PROBLEM)
    if report.written is None:
        say("nothing better than the present prompt was found; it stays as it is.")
    elif not report.proven:
        say(
            "the prompt did not prove itself on unseen files, so it does not serve; "
            f"it was kept as {report.written}"
        )
        raise typer.Exit(PROBLEM)


def evaluate(
    prompt: Annotated[Path, typer.Option(help="Prompt file to measure.")],
    repository: RepositoryArgument = Path(),
    against: Against = None,
    lora: Annotated[
        float | None,
        typer.Option(
            min=0.05,
            metavar="MINUTES",
            help="Compare with LoRA tuned so long (attune[lora]).",
        ),
    ] = None,
    model: ModelOption = None,
    json_lines: JsonLines = False,
    as_json: Json = False,
) -> None:
    """Measure a prompt on the files that its tuning held out.

    Use it to compare prompts, or to repeat somebody's proof.
    """
    from attune.show import waiting
    from attune.show_tuning import show_proof
    from attune.tuning_progress import progress_display
    from prompts.file import read_prompt
    from tuning.corpus import collect

    prompt_file, corpus = read_prompt(prompt), collect(repository)
    others = [read_prompt(path) for path in against or ()]
    with waiting("Loading the model…"):
        from code_model.loading import load_for_tuning
        from tuning.run import evaluate as run

        loaded, served = load_for_tuning(
            choose_model(model, corpus.root), prompt_file.manifest.form
        )
    with progress_display(json_lines) as on_progress:
        proof = run(
            loaded,
            corpus,
            prompt_file,
            on_progress,
            against=others,
            lora_minutes=lora,
            served=served,
        )
    if as_json:
        print_json(proof.to_json())
    else:
        show_proof(proof)
    if not proof.proven:
        raise typer.Exit(PROBLEM)


def status(
    repository: RepositoryArgument = Path(),
    prompt: Annotated[
        Path | None, typer.Option(help="Prompt file. Default: the repository's.")
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option("--for", help="Take the prompt that serves this file of the repository."),
    ] = None,
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Measure what a prompt still gains on changed code.

    That is code that changed since the prompt was tuned. Use it to decide whether to run
    `attune tune --refresh`.
    """
    from attune.show import waiting
    from attune.show_tuning import show_drift
    from prompts.file import read_prompt
    from tuning.corpus import collect

    corpus = collect(repository)
    if prompt is None and document is not None:
        prompt_file = _serving(document, corpus.root)
    else:
        prompt_file = read_prompt(_present(prompt, corpus.root))
    with waiting("Measuring the prompt on what changed…"):
        from code_model.loading import load_model
        from tuning.drift import drift_of

        loaded = load_model(choose_model(model, corpus.root))
        drift = drift_of(loaded, corpus, prompt_file, lambda done: None)
    if as_json:
        print_json({"sha256": prompt_file.sha256, **drift.to_json()})
    else:
        show_drift(drift)


def _present(named: Path | None, root: Path) -> Path:
    """The named prompt or the repository's own; raises early, with a clear message, if missing."""
    from prompts.errors import StoreError
    from prompts.file import DEFAULT_PROMPT, read_prompt

    path = named or root / DEFAULT_PROMPT
    if named is None and not path.exists():
        raise StoreError(
            f"{root} has no prompt of its own yet; run `attune tune` in it, or name a prompt file."
        )
    read_prompt(path)
    return path


def _serving(document: Path, root: Path) -> "PromptFile":
    """The prompt routed to a file, whether it fits or not; `StoreError` if there is none."""
    from code_context.languages import language_of
    from prompts.errors import StoreError
    from prompts.router import PromptRouter

    file = document.resolve()
    if not file.is_relative_to(root.resolve()):
        raise StoreError(f"{document} is not in {root}; name a file of the repository.")
    path = file.relative_to(root.resolve()).as_posix()
    choice = PromptRouter(root).choose(path, language_of(path))
    if choice.prompt is None:
        raise StoreError(" ".join((*choice.problems, f"No prompt serves {path}: {choice.reason}.")))
    return choice.prompt


def report(
    file: Annotated[Path, typer.Argument(help="A prompt file.")],
    html: Annotated[Path, typer.Option(help="Page to write.")],
    as_json: Json = False,
) -> None:
    """Write an HTML page about a prompt and its gain.

    Use it to show a prompt to other people.
    """
    from attune.pages.report import report_page
    from attune.pages.template import write_page
    from prompts.file import read_manifest, sha256_of

    write_page(html, report_page(read_manifest(file), sha256_of(file)))
    if as_json:
        print_json({"page": str(html)})
    else:
        say(f"written to {html}")
