"""Open the repository's index for a command, and show progress while it is brought up to date."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from code_context.index_store import open_index
from code_context.repository_root import is_repository_root
from code_context.retrieval import Retriever


def open_retriever(root: Path) -> Retriever | None:
    """Retrieval from the repository's other files; None if `root` is not a repository.

    Shows progress and problems on stderr.
    """
    if not is_repository_root(root):
        return None
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Indexing the repository", total=None)

        def show_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        opened = open_index(root, show_progress)
    for notice in opened.notices:
        console.print(f"attune: {notice}", highlight=False)
    return Retriever(opened.index)
