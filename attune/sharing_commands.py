"""`attune prompt audit | sign | trust | push | pull | versions`: prompts between people."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attune.errors import InterruptedRunError
from attune.output import PROBLEM, Json, print_json, say
from attune.prompt_commands import Reference, Trust, from_outside, read_bytes
from attune.repository_options import RepositoryOption
from prompts.errors import PromptError

if TYPE_CHECKING:
    from prompts.registry import Registry


class AuditRequiredError(PromptError):
    """The prompt has not passed an audit, and sharing it anyway takes a decision of the user."""


From = Annotated[
    str | None,
    typer.Option("--registry", help="Its address. Default: registry in .attune/attune.toml."),
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
    """Look for what a prompt gives away of this repository, and write the result into it.

    Takes about as long as tuning: it is tuned again, with made-up secrets to look for.
    """
    from attune.show import waiting
    from attune.show_prompts import show_audit
    from attune.show_tuning import looks
    from prompts.file import write_prompt
    from prompts.signature import read_signature, write_signature
    from prompts.workspace import resolve
    from tuning.corpus import collect

    path = resolve(prompt, root)
    _, read = read_bytes(path)
    corpus = collect(root)
    with waiting("Loading the model…"):
        from code_model.loading import load_model
        from tuning.audit import audit as audit_on
        from tuning.tune import Look

        base = load_model()
    try:
        with looks(json_lines=False) as progress:
            found = audit_on(base, corpus, read, lambda phase, share: progress(Look(phase, share)))
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped by Ctrl-C; nothing was written.") from None
    signed = read_signature(path) is not None
    if signed:
        write_signature(path, None)
    manifest = replace(read.manifest, audit=found.to_json())
    write_prompt(path, replace(read, manifest=manifest))
    if as_json:
        print_json({**manifest.audit, "problems": list(found.problems)})
    else:
        show_audit(found)
    if signed:
        say("the file has changed, so its signature was removed; sign it again.")
    if found.problems:
        raise typer.Exit(PROBLEM)


def sign(
    prompt: Reference,
    key: Annotated[
        Path | None, typer.Option(help="Your signing key. Default: git's user.signingKey.")
    ] = None,
    root: RepositoryOption = Path(),
) -> None:
    """Sign a prompt with an SSH key: the signature is written beside it."""
    from prompts.signature import git_signing_key, signature_path, signer_of, write_signature
    from prompts.signature import sign as sign_bytes
    from prompts.workspace import resolve

    path = resolve(prompt, root)
    data, _ = read_bytes(path)
    signature = sign_bytes(data, key or git_signing_key())
    write_signature(path, signature)
    say(f"{signature_path(path)}: signed with key {signer_of(data, signature, str(path))}.")


def trust(prompt: Reference, root: RepositoryOption = Path()) -> None:
    """Consent to a prompt: to its signer for all prompts, or without one, to exactly this file."""
    from prompts.workspace import resolve

    path = resolve(prompt, root)
    _, _, read = from_outside(path, trust=True)
    say(f"prompt {read.manifest.name!r} may serve in every workspace.")


def push(
    prompt: Reference,
    registry: From = None,
    name: Annotated[str | None, typer.Option(help="In the registry. Default: its own.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Share it without an audit that it passed.")
    ] = False,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Share a prompt as the newest version of its name; nothing in a registry is overwritten."""
    from attune.show import waiting
    from prompts.signature import read_signature, signer_of
    from prompts.workspace import resolve

    path = resolve(prompt, root)
    data, read = read_bytes(path)
    if not read.audited and not force:
        refusal = AuditRequiredError(
            f"Prompt {read.manifest.name!r} has not passed an audit, so it might give away code or"
            " secrets of the repository."
        )
        refusal.add_note("run `attune prompt audit`, or give --force.")
        raise refusal
    signature = read_signature(path)
    if signature is not None:
        signer_of(data, signature, str(path))
    named = name or read.manifest.name
    address, opened = _open(registry, root)
    with waiting(f"Pushing to {address}…"):
        version = opened().push(named, data, signature)
    if as_json:
        print_json(
            {
                "name": named,
                "version": version,
                "sha256": read.sha256,
                "registry": address,
                "signed": signature is not None,
            }
        )
    else:
        unsigned = "" if signature else ", not signed"
        say(f"{named} version {version} is in {address}{unsigned}.")


def pull(
    name: Annotated[
        str | None, typer.Argument(help="In the registry. Default: the repository's own name.")
    ] = None,
    registry: From = None,
    trust: Trust = False,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """Fetch the newest version for your model; it serves from the next request on."""
    from attune.consent import ask
    from attune.show import waiting
    from prompts.file import parse_prompt
    from prompts.trust import standing

    address, opened = _open(registry, root)
    with waiting("Loading the model…"):
        from code_model.loading import load_model

        identity = load_model().identity
    name = name or _own_name(root)
    with waiting(f"Pulling from {address}…"):
        pulled = opened().pull(name, identity)
    source = f"{name} version {pulled.version} of {address}"
    read = parse_prompt(pulled.data, source)
    digest = read.sha256 or ""
    found = standing(pulled.data, digest, pulled.signature, source)
    ask(read.manifest, digest, found, given=trust)
    _install(root, name, pulled.data, pulled.signature, source)
    if as_json:
        print_json({"name": name, "version": pulled.version, "sha256": digest, "registry": address})
    else:
        say(f"{source} was put into .attune ({found.words}).")


def versions(
    name: Annotated[str | None, typer.Argument(help="Default: all names.")] = None,
    registry: From = None,
    root: RepositoryOption = Path(),
    as_json: Json = False,
) -> None:
    """List what a registry has: versions, what they gained, and what they came from."""
    from attune.show import waiting
    from attune.show_prompts import show_versions

    address, opened = _open(registry, root)
    rows: list[dict[str, Any]] = []
    with waiting(f"Reading {address}…"):
        found = opened()
        for one in [name] if name else found.names():
            for version, entry in found.versions(one):
                row = {"name": one, "version": version, "sha256": entry.sha256}
                row |= {"model": entry.model_name, "gain": entry.gain, "proven": entry.proven}
                row |= {"audited": entry.audited, "signed": entry.signature is not None}
                rows.append(row | {"lineage": list(entry.lineage)})
    if as_json:
        print_json({"versions": rows})
    else:
        show_versions(rows)


def _own_name(root: Path) -> str:
    """What the repository's prompt is called: as it says itself, else as tuning would call it."""
    from prompts.file import DEFAULT_PROMPT, read_manifest

    own = root / DEFAULT_PROMPT
    return read_manifest(own).name if own.is_file() else root.resolve().name


def _open(address: str | None, root: Path) -> "tuple[str, Any]":
    """The address, which the repository may name, and a function that opens it."""
    from prompts.errors import RegistryError
    from prompts.routing import FILE_NAME, FOLDER, read_configuration

    named = address or read_configuration(root / FOLDER / FILE_NAME).registry
    if named is None:
        raise RegistryError(
            f"There is no registry; give --registry URL, or set registry in {FOLDER}/{FILE_NAME}."
        )

    def opened() -> "Registry":
        from prompts.registry import open_registry

        return open_registry(named, root)

    return named, opened


def _install(root: Path, name: str, data: bytes, signature: bytes | None, source: str) -> None:
    """Put a pulled prompt where it serves: under its name, and with a route if it needs one."""
    from prompts.file import DEFAULT_PROMPT, SUFFIX
    from prompts.routing import FILE_NAME, FOLDER, read_configuration
    from prompts.workspace import EVERYTHING, add_route, put

    put(root, name, data, signature, source)
    routes = read_configuration(root / FOLDER / FILE_NAME).routes
    is_default = f"{FOLDER}/{name}{SUFFIX}" == DEFAULT_PROMPT
    if is_default or any(route.prompt == name for route in routes):
        return
    if any(route.globs == EVERYTHING for route in routes):
        say(f"no route leads to {name} yet; `attune prompt use {name} --glob …` adds one.")
    else:
        add_route(root / FOLDER, EVERYTHING, name)
