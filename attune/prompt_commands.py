"""`attune prompt …`: look at prompt files, choose which serve, keep them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from attune.output import PROBLEM, Json, print_json, say
from attune.repository_options import RepositoryOption

app = typer.Typer(
    help="Look at prompt files, choose which serve, keep and share them.", no_args_is_help=True
)

Reference = Annotated[
    str, typer.Argument(metavar="PROMPT", help="A file, a name in .attune, or a digest.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Consent to the signer, or to this file.")]


@app.command()
def inspect(file: Reference, root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """Verify a prompt file and show what it says about itself."""
    from attune.show import show_manifest
    from prompts.file import read_prompt
    from prompts.workspace import resolve

    path = resolve(file, root) if not Path(file).exists() else Path(file)
    read = read_prompt(path)
    if as_json:
        described = json.loads(read.manifest.to_json())
        print_json({"file": str(path), "sha256": read.sha256, "manifest": described})
    else:
        show_manifest(path, read.sha256 or "", read.manifest)


@app.command(name="list")
def list_prompts(root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """List the repository's prompts with their routes, and those of your store."""
    from attune.show_prompts import show_list
    from prompts.errors import PromptError
    from prompts.file import DEFAULT_PROMPT, read_prompt
    from prompts.routing import FILE_NAME, FOLDER, read_configuration
    from prompts.store import Store
    from prompts.workspace import name_of, own_prompts

    routes = read_configuration(root / FOLDER / FILE_NAME).routes
    store = Store()
    places = [(name_of(path), path) for path in own_prompts(root)]
    places += [(f"sha256:{digest}", store.path(digest)) for digest in store.digests()]
    rows: list[dict[str, Any]] = []
    for name, path in places:
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
        typer.Option(help="Files to serve, a .gitignore pattern; may be given again."),
    ] = None,
    root: RepositoryOption = Path(),
    name: Annotated[str | None, typer.Option(help="Name in .attune. Default: its own.")] = None,
    trust: Trust = False,
) -> None:
    """Let a prompt serve files of the repository: all, or those that --glob names."""
    from prompts.routing import FOLDER
    from prompts.store import Store
    from prompts.workspace import EVERYTHING, add_route, name_of, put, remember, resolve

    path = resolve(prompt, root)
    if path.is_relative_to(Store().folder):
        reference = "sha256:" + path.parent.name + name_of(path)
        remember(root)
    elif path.resolve().parent == (root / FOLDER).resolve():
        reference = name_of(path)
    else:
        data, signature, read = from_outside(path, trust=trust)
        reference = name or read.manifest.name
        put(root, reference, data, signature, str(path))
    add_route(root / FOLDER, tuple(glob or EVERYTHING), reference)
    say(f"{reference} serves {', '.join(glob or ('every file',))}.")


@app.command()
def diff(
    one: Reference, other: Reference, root: RepositoryOption = Path(), as_json: Json = False
) -> None:
    """Show in what two prompts differ: what they say, and their numbers."""
    from attune.show_prompts import show_difference
    from prompts.diff import compare
    from prompts.file import read_prompt
    from prompts.workspace import resolve

    found = compare(read_prompt(resolve(one, root)), read_prompt(resolve(other, root)))
    if as_json:
        print_json(found.to_json())
    else:
        show_difference(found)
    if found.any:
        raise typer.Exit(PROBLEM)


@app.command()
def verify(prompt: Reference, root: RepositoryOption = Path(), as_json: Json = False) -> None:
    """Check a prompt file, its signature, and that it fits the model that serves."""
    from attune.show import waiting
    from attune.show_prompts import show_checks
    from prompts.errors import PromptError
    from prompts.signature import read_signature
    from prompts.trust import standing
    from prompts.workspace import resolve

    path = resolve(prompt, root)
    data, read = read_bytes(path)
    checks = [("format", True, f"version {read.manifest.format_version}")]
    try:
        found = standing(data, read.sha256 or "", read_signature(path), str(path))
        checks.append(("signature", True, found.words))
    except PromptError as error:
        checks.append(("signature", False, str(error)))
    with waiting("Loading the model…"):
        from code_model.decoder.soft_prompt import prefix_kv
        from code_model.loading import load_model

        try:
            base = load_model()
            prefix_kv(base, read)
            checks.append(("model", True, f"fits {base.name}"))
        except PromptError as error:
            checks.append(("model", False, str(error)))
    manifest = read.manifest
    checks.append(("proof", True, "proved itself" if manifest.proven else "not proven"))
    found_nothing = "not passed" if manifest.audit else "none yet"
    checks.append(("audit", True, "passed" if read.audited else found_nothing))
    if as_json:
        keys = ("check", "good", "finding")
        print_json({"checks": [dict(zip(keys, check, strict=True)) for check in checks]})
    else:
        show_checks(checks)
    if not all(good for _, good, _ in checks):
        raise typer.Exit(PROBLEM)


@app.command(name="import")
def import_prompt(
    source: Annotated[Path, typer.Argument(help="A prompt file; with --peft, PEFT's folder.")],
    peft: Annotated[
        bool, typer.Option("--peft", help="Read an adapter that was tuned with PEFT.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the imported adapter.")] = "imported",
    trust: Trust = False,
) -> None:
    """Put a prompt into your store and print its digest."""
    from prompts.store import Store

    if peft:
        data, signature, where = _from_peft(source, name), None, str(source)
    else:
        data, signature, _ = from_outside(source, trust=trust)
        where = str(source)
    read = Store().add(data, signature, where)
    print(f"sha256:{read.sha256}")  # noqa: T201


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
    from prompts.signature import read_signature, write_signature
    from prompts.workspace import resolve

    path = resolve(prompt, root)
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
    from prompts.errors import StoreError
    from prompts.routing import FOLDER
    from prompts.store import Store
    from prompts.workspace import name_of, remove, resolve, used_digests

    path = resolve(prompt, root)
    store = Store()
    if path.resolve().parent == (root / FOLDER).resolve():
        remove(root, name_of(path))
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
        float, typer.Option(min=0, help="Days since a prompt was stored.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Delete prompts from your store that no route leads to."""
    from prompts.store import Store
    from prompts.workspace import used_digests

    store = Store()
    gone = store.unused(used_digests(), older_than)
    if not dry_run:
        for digest in gone:
            store.remove(digest)
    if as_json:
        print_json({"removed": gone, "dry_run": dry_run})
    else:
        for digest in gone:
            print(f"sha256:{digest}")  # noqa: T201
        say(f"{len(gone)} {'would be' if dry_run else 'were'} removed.")


def read_bytes(path: Path) -> tuple[bytes, Any]:
    """The bytes of a prompt file and the prompt in exactly these bytes."""
    from prompts.file import parse_prompt, read_manifest

    read_manifest(path)  # size and header, before the whole is read
    data = path.read_bytes()
    return data, parse_prompt(data, str(path))


def from_outside(path: Path, *, trust: bool) -> tuple[bytes, bytes | None, Any]:
    """Bytes, signature and prompt of a file, once the user trusts it."""
    from attune.consent import ask
    from prompts.signature import read_signature
    from prompts.trust import standing

    data, read = read_bytes(path)
    signature = read_signature(path)
    ask(
        read.manifest,
        read.sha256,
        standing(data, read.sha256, signature, str(path)),
        given=trust,
    )
    return data, signature, read


def _from_peft(folder: Path, name: str) -> bytes:
    from attune.show import waiting
    from prompts.file import encode_prompt
    from prompts.peft import import_adapter

    with waiting("Loading the model…"):
        from code_model.loading import load_model

        identity = load_model().identity
    return encode_prompt(import_adapter(folder, identity, name))
