"""`attune prompt …`: inspect, compare, route and store prompt files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from attune.model_option import ModelOption, choose_model
from attune.output import PROBLEM, Json, print_json, say
from attune.repository_options import RepositoryOption

app = typer.Typer(
    help="Inspect prompt files, choose which ones serve, store and share them.",
    no_args_is_help=True,
)

Reference = Annotated[
    str,
    typer.Argument(metavar="PROMPT", help="A file, a name in .attune, or a digest in your store."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Trust the signer or, if it is not signed, this file.")
]


@app.command()
def inspect(file: Reference, root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """Verify a prompt file and show its manifest."""
    from attune.show import show_manifest
    from prompts.file import read_prompt
    from prompts.prompt_folder import find_prompt

    path = find_prompt(file, root) if not Path(file).exists() else Path(file)
    prompt = read_prompt(path)
    if as_json:
        manifest = json.loads(prompt.manifest.to_json())
        print_json({"file": str(path), "sha256": prompt.sha256, "manifest": manifest})
    else:
        show_manifest(path, prompt.sha256 or "", prompt.manifest)


@app.command(name="list")
def list_prompts(root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """List the prompts of the repository, with their routes, and of your store."""
    from attune.show_prompts import show_list
    from prompts.configuration import FILE_NAME, FOLDER, read_configuration
    from prompts.errors import PromptError
    from prompts.file import DEFAULT_PROMPT, read_prompt
    from prompts.prompt_folder import name_of, own_prompts
    from prompts.store import Store

    routes = read_configuration(root / FOLDER / FILE_NAME).routes
    store = Store()
    files = [(name_of(path), path) for path in own_prompts(root)]
    files += [(f"sha256:{digest}", store.path(digest)) for digest in store.digests()]
    rows: list[dict[str, Any]] = []
    for name, path in files:
        row: dict[str, Any] = {
            "prompt": name,
            "default": path == root / DEFAULT_PROMPT,
            "routes": [list(route.globs) for route in routes if route.prompt == name],
        }
        try:
            prompt = read_prompt(path)
        except PromptError as error:
            rows.append(row | {"problem": str(error)})
            continue
        manifest = prompt.manifest
        rows.append(
            row
            | {
                "name": manifest.name,
                "sha256": prompt.sha256,
                "model": manifest.model.name,
                "languages": list(manifest.languages),
                "gain": manifest.gain,
                "proven": manifest.proven,
                "audited": prompt.audited,
            }
        )
    if as_json:
        print_json({"prompts": rows})
    else:
        show_list(rows)


@app.command()
def use(
    prompt: Reference,
    glob: Annotated[
        list[str] | None,
        typer.Option(help="Files to serve, a pattern as in .gitignore; repeatable."),
    ] = None,
    root: RepositoryOption = Path(),
    name: Annotated[
        str | None, typer.Option(help="Name in .attune. Default: the prompt's own.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Let a prompt serve files of the repository: all, or those that match --glob."""
    from prompts.configuration import EVERYTHING, FOLDER, add_route
    from prompts.prompt_folder import find_prompt, name_of, put_prompt
    from prompts.store import Store, add_referring_root

    path = find_prompt(prompt, root)
    if path.is_relative_to(Store().folder):
        reference = "sha256:" + path.parent.name + name_of(path)
        add_referring_root(root)
    elif path.resolve().parent == (root / FOLDER).resolve():
        reference = name_of(path)
    else:
        data, signature, outside = read_trusted(path, trust=trust)
        reference = name or outside.manifest.name
        put_prompt(root, reference, data, signature, str(path))
    add_route(root / FOLDER, tuple(glob or EVERYTHING), reference)
    say(f"{reference} serves {', '.join(glob or ('every file',))}.")


@app.command()
def diff(
    first: Reference, second: Reference, root: RepositoryOption = Path(), as_json: Json = False
) -> None:
    """Show the differences of two prompts: in their manifests and in their numbers."""
    from attune.show_prompts import show_diff
    from prompts.diff import diff_prompts
    from prompts.file import read_prompt
    from prompts.prompt_folder import find_prompt

    prompts = [read_prompt(find_prompt(reference, root)) for reference in (first, second)]
    result = diff_prompts(*prompts)
    if as_json:
        print_json(result.to_dict())
    else:
        show_diff(result)
    if not result.is_empty:
        raise typer.Exit(PROBLEM)


@app.command()
def verify(prompt: Reference, root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """Check a prompt file, its signature, and whether it fits the model that serves."""
    from attune.show import waiting
    from attune.show_prompts import show_checks
    from prompts.errors import PromptError
    from prompts.manifest import FORMAT_VERSION
    from prompts.prompt_folder import find_prompt
    from prompts.signature import read_signature
    from prompts.trust import trust_of

    path = find_prompt(prompt, root)
    data, prompt_file = read_bytes(path)
    version = f"version {prompt_file.format_version}"
    if prompt_file.format_version < FORMAT_VERSION:
        version += ", which cannot show whether the numbers were changed"
    checks = [("format", True, version)]
    try:
        trust = trust_of(data, prompt_file.sha256 or "", read_signature(path), str(path))
        checks.append(("signature", True, trust.words))
    except PromptError as error:
        checks.append(("signature", False, str(error)))
    with waiting("Loading the model…"):
        from code_model.compatibility import check_prompt
        from code_model.loading import load_model

        try:
            model = load_model(choose_model(None, root))
            check_prompt(model, prompt_file)
            checks.append(("model", True, f"fits {model.name}"))
        except PromptError as error:
            checks.append(("model", False, str(error)))
    manifest = prompt_file.manifest
    checks.append(("proof", True, "proven" if manifest.proven else "not proven"))
    not_passed = "not passed" if manifest.audit else "none yet"
    checks.append(("audit", True, "passed" if prompt_file.audited else not_passed))
    if as_json:
        keys = ("check", "good", "finding")
        print_json({"checks": [dict(zip(keys, check, strict=True)) for check in checks]})
    else:
        show_checks(checks)
    if not all(good for _, good, _ in checks):
        raise typer.Exit(PROBLEM)


@app.command(name="import")
def import_prompt(
    source: Annotated[
        Path, typer.Argument(help="A prompt file; with --peft, a folder that PEFT saved.")
    ],
    peft: Annotated[
        bool, typer.Option("--peft", help="Import an adapter that was tuned with PEFT.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the imported adapter.")] = "imported",
    model: ModelOption = None,
    trust: Trust = False,
) -> None:
    """Add a prompt to your store and print its digest."""
    from prompts.store import Store

    if peft:
        data, signature = _from_peft(source, name, model), None
    else:
        data, signature, _ = read_trusted(source, trust=trust)
    stored = Store().add(data, signature, str(source))
    print(f"sha256:{stored.sha256}")  # noqa: T201


@app.command()
def export(
    prompt: Reference,
    to: Annotated[Path, typer.Argument(help="A file; with --peft, a new folder.")],
    peft: Annotated[
        bool, typer.Option("--peft", help="Write the two files that PEFT loads.")
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(help="PEFT's type: CARTRIDGE or PREFIX_TUNING for kv, else PROMPT_TUNING."),
    ] = None,
    root: RepositoryOption = Path(),
) -> None:
    """Copy a prompt, with its signature, or write it as an adapter for PEFT."""
    from prompts.file import copy_prompt, read_prompt
    from prompts.peft import export_adapter
    from prompts.prompt_folder import find_prompt
    from prompts.signature import read_signature, write_signature

    path = find_prompt(prompt, root)
    if peft:
        export_adapter(read_prompt(path), to, method)
    else:
        if method is not None:
            raise typer.BadParameter("--method needs --peft")
        copy_prompt(path, to)
        if (signature := read_signature(path)) is not None:
            write_signature(to, signature)
    say(f"written to {to}.")


@app.command()
def remove(prompt: Reference, root: RepositoryOption = Path()) -> None:
    """Delete a prompt, with its signature and routes, from .attune or from your store."""
    from prompts.configuration import FOLDER
    from prompts.errors import StoreError
    from prompts.prompt_folder import find_prompt, name_of, remove_prompt
    from prompts.store import Store, used_digests

    path = find_prompt(prompt, root)
    store = Store()
    if path.resolve().parent == (root / FOLDER).resolve():
        remove_prompt(root, name_of(path))
    elif path.is_relative_to(store.folder):
        digest = path.parent.name + name_of(path)
        if digest in used_digests():
            raise StoreError(f"A route leads to sha256:{digest}; change the route first.")
        store.remove(digest)
    else:
        raise StoreError(f"{path} is neither in .attune nor in your store; delete it yourself.")
    say(f"removed {path}.")


@app.command()
def gc(
    older_than: Annotated[
        float, typer.Option(min=0, help="Days since the prompt was stored.")
    ] = 30.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete prompts from your store that no repository uses.

    Use it to free disk space.
    """
    from prompts.store import Store, used_digests

    store = Store()
    unused = store.unused(used_digests(), older_than)
    if not dry_run:
        for digest in unused:
            store.remove(digest)
    if as_json:
        print_json({"removed": unused, "dry_run": dry_run})
    else:
        for digest in unused:
            print(f"sha256:{digest}")  # noqa: T201
        say(f"{len(unused)} {'would be' if dry_run else 'were'} removed.")


def read_bytes(path: Path) -> tuple[bytes, Any]:
    """The bytes of a prompt file, and the prompt in exactly these bytes."""
    from file_access.regular_file import read_regular_file
    from prompts.errors import NotAPromptFile
    from prompts.file import MAX_FILE_BYTES, parse_prompt, read_manifest

    read_manifest(path)  # checks size and header before the whole file is read
    try:
        data = read_regular_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise NotAPromptFile(f"{path} cannot be read ({error.strerror}).") from error
    return data, parse_prompt(data, str(path))


def read_trusted(path: Path, *, trust: bool) -> tuple[bytes, bytes | None, Any]:
    """Bytes, signature and prompt of a file that the user trusts.

    Raises `UntrustedPrompt` if the user does not consent; `trust` is the consent.
    """
    from attune.consent import require_consent
    from prompts.signature import read_signature
    from prompts.trust import trust_of

    data, prompt = read_bytes(path)
    signature = read_signature(path)
    present = trust_of(data, prompt.sha256, signature, str(path))
    require_consent(prompt.manifest, prompt.sha256, present, given=trust)
    return data, signature, prompt


def _from_peft(folder: Path, name: str, model: str | None) -> bytes:
    from attune.show import waiting
    from prompts.file import encode_prompt
    from prompts.peft import import_adapter

    with waiting("Loading the model…"):
        from code_model.loading import load_model

        identity = load_model(choose_model(model, None)).identity
    return encode_prompt(import_adapter(folder, identity, name))
