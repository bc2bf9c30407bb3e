"""HumanEval-Infilling (single line): lines that the model completes exactly.

    python -m benchmarks.infilling FILE [--every 4] [--prompt FILE] [--layouts NAME,NAME]

FILE is the benchmark's `.jsonl.gz` (MIT licence). The cursor stands at column 0 and behind the
indentation of an empty line. `--prompt` completes with a prompt of another repository too, always
and, as the server does, only where it fits what the file says already: what it costs in foreign
code. `--layouts` compares FIM templates (`code_model.fim_templates`) instead, each with token
healing and without. Results go to `benchmarks/results/infilling.json`.
"""

import argparse
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from code_model.fim import FimEncoder
from code_model.fim_templates import named_template
from code_model.fit import gain_on, misfit
from code_model.language_model import LanguageModel, Session
from code_model.loading import load_model
from completion.model_input import CompletionPoint
from completion.pipeline import complete
from prompts.file import PromptFile, read_prompt

RESULTS = Path("benchmarks/results/infilling.json")
COLUMN_0, INDENTED = "column 0", "after the indentation"
PATH = "solution.py"


@dataclass(frozen=True)
class Task:
    """One function with a line missing: the code before and after it, and the line itself."""

    before: str
    after: str
    line: str

    @property
    def indentation(self) -> str:
        """That of the missing line."""
        return self.line[: len(self.line) - len(self.line.lstrip())]


def read_tasks(file: Path, every: int) -> list[Task]:
    """Every n-th task of the benchmark's file."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        read = [json.loads(line) for line in lines][::every]
    return [
        Task(task["prompt"], task["suffix"], task["canonical_solution"].strip("\n"))
        for task in read
    ]


def shares(tasks: Sequence[Task], session_of: Callable[[Task], Session]) -> dict[str, Any]:
    """Shares of the lines that are answered (with any text) and exact, by where the cursor is."""
    exact = {COLUMN_0: 0, INDENTED: 0}
    answered = dict.fromkeys(exact, 0)
    for task in track(tasks, "HumanEval-Infilling", console=Console(stderr=True)):
        session = session_of(task)
        for cursor, typed in ((COLUMN_0, ""), (INDENTED, task.indentation)):
            before = task.before + typed
            point = CompletionPoint.parse(before + "\n" + task.after, PATH, len(before))
            suggested = complete(session, point, explicit=True).text
            answered[cursor] += bool(suggested)
            text = typed + suggested
            exact[cursor] += text.strip("\n").split("\n")[0].rstrip() == task.line.rstrip()
    counts = {"answered": answered, "exact": exact}
    return {
        name: {cursor: round(count / len(tasks), 4) for cursor, count in by_cursor.items()}
        for name, by_cursor in counts.items()
    }


def with_prompt(
    model: LanguageModel, tasks: Sequence[Task], prompt: PromptFile
) -> dict[str, dict[str, Any]]:
    """`shares` without the prompt, with it, and with it only where it fits the file."""
    bare, prompted = model.open(), model.open(prompt)
    fitting = 0

    def where_it_fits(task: Task) -> Session:
        nonlocal fitting
        gain = gain_on(model.open, prompt, PATH, task.before + "\n" + task.after)
        fits = misfit(prompt, gain) is None
        fitting += fits
        return prompted if fits else bare

    results = {
        "no prompt": shares(tasks, partial(_always, bare)),
        "always": shares(tasks, partial(_always, prompted)),
        "where it fits": shares(tasks, where_it_fits),
    }
    results["where it fits"]["served"] = round(fitting / len(tasks), 4)
    return results


def by_layout(
    model: Any, layouts: Sequence[str], tasks: Sequence[Task]
) -> dict[str, dict[str, Any]]:
    """`shares` with each FIM template, with token healing and without."""
    results = {}
    for layout in layouts:
        template = named_template(layout, model.tokenizer.token_to_id)
        for healing in (False, True):
            encoder = FimEncoder(model.tokenizer, replace(template, token_healing=healing))
            name = f"{layout}, {'with' if healing else 'without'} token healing"
            session = replace(model, encoder=encoder).open()
            results[name] = shares(tasks, partial(_always, session))
    return results


def _always(session: Session, task: Task) -> Session:
    return session


def show(results: Mapping[str, Any]) -> None:
    """One row for each way to complete."""
    table = Table(title=f"{results['places']} lines of HumanEval-Infilling")
    for name in ("", "cursor", "answered", "exact"):
        table.add_column(name)
    for way, result in results["ways"].items():
        for cursor in (COLUMN_0, INDENTED):
            cells = (f"{result[key][cursor]:.1%}" for key in ("answered", "exact"))
            table.add_row(way, cursor, *cells)
    Console().print(table)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--prompt", type=Path)
    parser.add_argument("--layouts")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    model = load_model()
    tasks = read_tasks(options.file, options.every)
    if options.layouts is not None:
        ways = by_layout(model, options.layouts.split(","), tasks)
    elif options.prompt is not None:
        ways = with_prompt(model, tasks, read_prompt(options.prompt))
    else:
        session = model.open()
        ways = {"no prompt": shares(tasks, partial(_always, session))}
    results = {"places": len(tasks), "ways": ways}
    text = json.dumps(results, indent=1, sort_keys=True) + "\n"
    options.results.write_text(text, encoding="utf-8")
    show(results)


if __name__ == "__main__":
    main()
