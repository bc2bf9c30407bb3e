"""The other files of a repository, for commands that complete in it."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from attune.cursor import is_repository
from code_context.indexing import open_index
from code_context.retrieval import Retriever


def other_files(root: Path) -> Retriever | None:
    """The repository's index, brought up to date; None outside of a repository.

    Shows progress, and what was not as it should be, on stderr.
    """
    if not is_repository(root):
        return None
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Indexing the repository", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        opened = open_index(root, show)
    for notice in opened.notices:
        console.print(f"attune: {notice}", highlight=False)
    return Retriever(opened.index)
