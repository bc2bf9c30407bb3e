"""KV reuse: what a new input shares with the ids whose keys and values a session has cached."""

from collections.abc import Sequence

from code_model.language_model import ContextTooLongError, Session


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))


def check_input(session: Session, ids: Sequence[int], max_new_tokens: int) -> None:
    """Check an input before the cache is cut for it.

    Raises `ContextTooLongError` if it does not fit beside the prefix and the new tokens,
    `ValueError` without ids.
    """
    if not ids:
        raise ValueError("there must be at least one id to continue")
    if len(ids) > session.room(max_new_tokens):
        raise ContextTooLongError(
            f"{len(ids)} tokens do not fit beside {session.num_virtual_tokens} of the prefix and "
            f"{max_new_tokens} new ones; give a smaller context"
        )
