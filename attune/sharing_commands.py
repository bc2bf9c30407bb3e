"""`attune prompt audit | sign | trust | push | pull | versions`: share prompts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attune.errors import InterruptedRunError
from attune.model_option import choose_model
from attune.output import PROBLEM, Json, print_json, say
from attune.prompt_commands import Reference, Trust, read_bytes, read_trusted
from attune.repository_options import RepositoryOption
from prompts.errors import PromptError

if TYPE_CHECKING:
    from prompts.registry import Registry


class AuditRequiredError(PromptError):
    """The prompt has not passed an audit, and sharing it anyway takes a decision of the user."""


From = Annotated[
    str | None,
    typer.Option(
        "--registry", help="Address of the registry. Default: registry in .attune/attune.toml."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (audit, sign, trust, push, pull, versions):
        app.command()(command)


def audit(
    prompt: Reference = "prompt",
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Check what a prompt reveals of this repository, and write the result into its file.

    Takes about as long as tuning: the recipe runs again with planted secrets.
    """
    from attune.show import waiting
    from attune.show_prompts import show_audit
    from attune.tuning_progress import progress_display
    from prompts.file import write_prompt
    from prompts.prompt_folder import find_prompt
    from prompts.signature import read_signature, write_signature
    from tuning.corpus import collect

    path = find_prompt(prompt, root)
    _, prompt_file = read_bytes(path)
    corpus = collect(root)
    with waiting("Loading the model…"):
        from code_model.loading import load_tunable_model
        from tuning.audit import audit as audit_on

        model = load_tunable_model(choose_model(None, root))
    try:
        with progress_display(json_lines=False) as on_progress:
            result = audit_on(model, corpus, prompt_file, on_progress)
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped by Ctrl-C; nothing was written.") from None
    signed = read_signature(path) is not None
    if signed:
        write_signature(path, None)
    manifest = replace(prompt_file.manifest, audit=result.to_json())
    write_prompt(path, replace(prompt_file, manifest=manifest))
    if as_json:
        print_json({**manifest.audit, "problems": list(result.problems)})
    else:
        show_audit(result)
    if signed:
        say("the file has changed, so its signature was removed; sign it again.")
    if result.problems:
        raise typer.Exit(PROBLEM)


def sign(
    prompt: Reference,
    key: Annotated[
        Path | None, typer.Option(help="Your signing key. Default: git's user.signingKey.")
    ] = None,
    root: RepositoryOption = Path(),
) -> None:
    """Sign a prompt with an SSH key; the signature is written beside the file."""
    from prompts.prompt_folder import find_prompt
    from prompts.signature import git_signing_key, signature_path, signer_of, write_signature
    from prompts.signature import sign as sign_bytes

    path = find_prompt(prompt, root)
    data, _ = read_bytes(path)
    signature = sign_bytes(data, key or git_signing_key())
    write_signature(path, signature)
    say(f"{signature_path(path)}: signed with key {signer_of(data, signature, str(path))}.")


def trust(prompt: Reference, root: RepositoryOption = Path()) -> None:
    """Trust a prompt: its signer for all prompts or, if it is not signed, exactly this file."""
    from prompts.prompt_folder import find_prompt

    _, _, trusted = read_trusted(find_prompt(prompt, root), trust=True)
    say(f"prompt {trusted.manifest.name!r} may serve in every workspace.")


def push(
    prompt: Reference,
    registry: From = None,
    name: Annotated[
        str | None, typer.Option(help="Name in the registry. Default: the prompt's own.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Share the prompt even if it has not passed an audit.")
    ] = False,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Add a prompt to a registry as the newest version of its name; nothing is overwritten."""
    from attune.show import waiting
    from prompts.prompt_folder import find_prompt
    from prompts.signature import read_signature, signer_of

    path = find_prompt(prompt, root)
    data, prompt_file = read_bytes(path)
    if not prompt_file.audited and not force:
        refusal = AuditRequiredError(
            f"Prompt {prompt_file.manifest.name!r} has not passed an audit, so it might reveal"
            " code or secrets of the repository."
        )
        refusal.add_note("run `attune prompt audit`, or give --force.")
        raise refusal
    signature = read_signature(path)
    if signature is not None:
        signer_of(data, signature, str(path))
    name = name or prompt_file.manifest.name
    address, open_it = _registry(registry, root)
    with waiting(f"Pushing to {address}…"):
        version = open_it().push(name, data, signature)
    if as_json:
        print_json(
            {
                "name": name,
                "version": version,
                "sha256": prompt_file.sha256,
                "registry": address,
                "signed": signature is not None,
            }
        )
    else:
        unsigned = "" if signature else ", not signed"
        say(f"{name} version {version} is in {address}{unsigned}.")


def pull(
    name: Annotated[
        str | None,
        typer.Argument(help="Name in the registry. Default: that of the repository's prompt."),
    ] = None,
    registry: From = None,
    trust: Trust = False,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Fetch a prompt's newest version for your model from a registry.

    It serves from the next request on.
    """
    from attune.consent import require_consent
    from attune.show import waiting
    from prompts.file import parse_prompt
    from prompts.trust import trust_of

    address, open_it = _registry(registry, root)
    with waiting("Loading the model…"):
        from code_model.loading import load_model

        identity = load_model(choose_model(None, root)).identity
    name = name or _own_name(root)
    with waiting(f"Pulling from {address}…"):
        pulled = open_it().pull(name, identity)
    source = f"{name} version {pulled.version} of {address}"
    prompt = parse_prompt(pulled.data, source)
    digest = prompt.sha256 or ""
    present = trust_of(pulled.data, digest, pulled.signature, source)
    require_consent(prompt.manifest, digest, present, given=trust)
    _install(root, name, pulled.data, pulled.signature, source)
    if as_json:
        print_json({"name": name, "version": pulled.version, "sha256": digest, "registry": address})
    else:
        say(f"{source} was put into .attune ({present.words}).")


def versions(
    name: Annotated[str | None, typer.Argument(help="Default: all names.")] = None,
    registry: From = None,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """List the versions in a registry with their gains and their lineage."""
    from attune.show import waiting
    from attune.show_prompts import show_versions

    address, open_it = _registry(registry, root)
    rows: list[dict[str, Any]] = []
    with waiting(f"Reading {address}…"):
        opened = open_it()
        for prompt_name in [name] if name else opened.names():
            for version, entry in opened.versions(prompt_name):
                row = {"name": prompt_name, "version": version, "sha256": entry.sha256}
                row |= {"model": entry.model_name, "gain": entry.gain, "proven": entry.proven}
                row |= {"audited": entry.audited, "signed": entry.signature is not None}
                rows.append(row | {"lineage": list(entry.lineage)})
    if as_json:
        print_json({"versions": rows})
    else:
        show_versions(rows)


def _own_name(root: Path) -> str:
    """The name in the repository's own prompt; without one, the name that tuning would give it."""
    from prompts.file import DEFAULT_PROMPT, read_manifest

    own = root / DEFAULT_PROMPT
    return read_manifest(own).name if own.is_file() else root.resolve().name


def _registry(address: str | None, root: Path) -> "tuple[str, Callable[[], Registry]]":
    """The address, by default the one in `attune.toml`, and a function that opens the registry."""
    from prompts.configuration import FILE_NAME, FOLDER, read_configuration
    from prompts.errors import RegistryError

    url = address or read_configuration(root / FOLDER / FILE_NAME).registry
    if url is None:
        raise RegistryError(
            f"There is no registry; give --registry URL, or set registry in {FOLDER}/{FILE_NAME}."
        )

    def open_it() -> "Registry":
        from prompts.registry import open_registry

        return open_registry(url, root)

    return url, open_it


def _install(root: Path, name: str, data: bytes, signature: bytes | None, source: str) -> None:
    """Put a pulled prompt into `.attune` under `name`, with a route if it needs one to serve."""
    from prompts.configuration import EVERYTHING, FILE_NAME, FOLDER, add_route, read_configuration
    from prompts.file import DEFAULT_PROMPT, SUFFIX
    from prompts.prompt_folder import put_prompt

    put_prompt(root, name, data, signature, source)
    routes = read_configuration(root / FOLDER / FILE_NAME).routes
    is_default = f"{FOLDER}/{name}{SUFFIX}" == DEFAULT_PROMPT
    if is_default or any(route.prompt == name for route in routes):
        return
    if any(route.globs == EVERYTHING for route in routes):
        say(f"no route leads to {name} yet; `attune prompt use {name} --glob …` adds one.")
    else:
        add_route(root / FOLDER, EVERYTHING, name)
