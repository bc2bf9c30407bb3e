"""Diagnosis: what is installed, which model and prompt serve here, and whether they complete."""

import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from file_access.user_folders import cache_folder, data_folder

PACKAGES = ("torch", "tokenizers", "tree-sitter", "tree-sitter-python", "pygls", "safetensors")
EXTRAS = ("transformers", "llama-cpp-python", "bitsandbytes", "peft", "huggingface-hub")
"""Packages that an engine or a registry needs, and that Attune does without."""


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis."""

    subject: str
    value: str
    problem: bool = False

    def to_json(self) -> dict[str, str | bool]:
        """Its fields, for JSON."""
        return asdict(self)


def examine(repository: Path, model: str | None = None) -> list[Finding]:
    """Check the installation, the model and the repository's prompt. Changes nothing.

    `model` is a name or a path; without it, the repository's model is checked. The findings are
    what a bug report needs: they hold no code, and the user's own folder is written as `~`.
    """
    findings = [
        Finding("system", " ".join((platform.system(), platform.machine(), *platform.libc_ver()))),
        Finding("python", platform.python_version()),
    ]
    for package in ("attune", *PACKAGES):
        try:
            findings.append(Finding(package, version(package)))
        except PackageNotFoundError:
            findings.append(Finding(package, "not installed; install Attune again", problem=True))
    for package in EXTRAS:
        with suppress(PackageNotFoundError):
            findings.append(Finding(package, version(package)))
    for name, folder in (("cache folder", cache_folder()), ("data folder", data_folder())):
        findings.append(Finding(name, _short(folder)))
    return [*findings, *_model_and_prompt(repository, model)]


def _short(path: Path) -> str:
    """A path without the user's name where it is below the user's own folder."""
    with suppress(RuntimeError, ValueError):
        return str(Path("~") / path.relative_to(Path.home()))
    return str(path)


def _model_and_prompt(repository: Path, named: str | None) -> list[Finding]:
    from attune.show_models import NAMED_BY
    from code_model.compatibility import check_prompt
    from code_model.language_model import ModelLoadError, TunableModel
    from code_model.loading import load_model
    from code_model.model_resolution import resolve_model
    from completion.model_input import CompletionPoint
    from completion.pipeline import complete
    from prompts.errors import ConfigurationError
    from prompts.router import PromptRouter

    try:
        resolved = resolve_model(named, repository)
        model = load_model(resolved.choice.without_server)
    except (ConfigurationError, ModelLoadError) as error:
        return [Finding("model", str(error), problem=True)]
    size = f"{model.num_parameters / 1e6:.1f} million parameters"
    backend = model.backend
    findings = [
        *(Finding("model", notice, problem=True) for notice in resolved.notices),
        Finding("model", f"{model.name}, {size}, {_short(model.folder)}"),
        Finding("model chosen", f"{resolved.name}, {NAMED_BY[resolved.named_by]}"),
        Finding("model fingerprint", model.identity.model_fingerprint[:16]),
        Finding("engine", str(model.runtime)),
        Finding("computed by", backend.means),
    ]
    if backend.problem is not None:
        findings.append(Finding("computed by", backend.problem, problem=True))
    if isinstance(model, TunableModel):
        bfloat16 = "yes" if model.prefers_bfloat16() else "no, float32 is faster here"
        findings.append(Finding("bfloat16 for tuning", bfloat16))
    chosen = PromptRouter(repository, accept=partial(check_prompt, model)).choose(None)
    findings += [Finding("prompt", problem, problem=True) for problem in chosen.problems]
    name = f"none: {chosen.reason}" if chosen.prompt is None else chosen.prompt.manifest.name
    findings.append(Finding("prompt", name))
    sample = "def main():\n    return 0\n\n\nif __name__ == "
    point = CompletionPoint.parse(sample, "sample.py", len(sample))
    result = complete(model.open(chosen.prompt), point)
    if not result.text:
        failure = f"a trial completion was empty ({result.reason})"
        return [*findings, Finding("completion", failure, problem=True)]
    return [*findings, Finding("completion", "a trial completion gave text")]
