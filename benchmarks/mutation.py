"""What `make mutation` found: planted faults by module, and how many of them the tests find.

    python -m benchmarks.mutation [FOLDER]

Reads the results that mutmut keeps in FOLDER (by default `mutants`), and fails if fewer than 80 %
of the mutants that were tested are killed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MIN_KILLED = 0.8
SURVIVED, WITHOUT_TEST = 0, 33
"""mutmut's exit codes; others than these mean that a test failed or took too long."""


@dataclass(frozen=True)
class ModuleResult:
    """Mutants of a module: `tested` of all `mutants`, and the names of those that survived."""

    module: str
    mutants: int
    tested: int
    survived: tuple[str, ...]

    @property
    def killed(self) -> int:
        """How many a test found."""
        return self.tested - len(self.survived)


def read_results(folder: Path) -> list[ModuleResult]:
    """The results of every module, in order of the paths. A mutant without any test survives."""
    results = []
    for file in sorted(folder.rglob("*.py.meta")):
        codes = json.loads(file.read_text("utf-8"))["exit_code_by_key"]
        tested = {name: code for name, code in codes.items() if code is not None}
        if codes:
            survived = tuple(
                name for name, code in tested.items() if code in (SURVIVED, WITHOUT_TEST)
            )
            module = file.relative_to(folder).as_posix().removesuffix(".meta")
            results.append(ModuleResult(module, len(codes), len(tested), survived))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table and the survivors. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("mutants"))
    results = read_results(parser.parse_args(arguments).folder)
    print("| module | mutants | tested | killed | survived | killed, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    tested, killed = sum(each.tested for each in results), sum(each.killed for each in results)
    for each in results:
        share = 100 * each.killed / max(1, each.tested)
        print(
            f"| `{each.module}` | {each.mutants} | {each.tested} | {each.killed} |"
            f" {len(each.survived)} | {share:.0f} |"
        )
    mutants, share = sum(each.mutants for each in results), killed / max(1, tested)
    print(f"| all | {mutants} | {tested} | {killed} | {tested - killed} | {100 * share:.0f} |")
    for name in (name for each in results for name in each.survived):
        print(name)
    return 0 if share >= MIN_KILLED else 1


if __name__ == "__main__":
    sys.exit(main())
