"""Whether the llama.cpp at hand takes keys and values that are written into its cache.

Nothing promises the layout of a sequence's state, so it is tested with the model itself: a prefix
of real tokens, read out, taken apart into prompt embeddings, put together again and written as the
state of another sequence, must give the logits that those tokens give; and the keys of one token
at two positions must differ by a rotation of the channels that are thought to belong together.
"""

import numpy as np
from numpy.typing import NDArray

from code_model.llama_cpp.context import SCRATCH, Context, DecodeError
from code_model.llama_cpp.sequence_state import SequenceState, StateLayoutError
from code_model.llama_cpp.soft_prompt import KVShape
from code_model.llama_cpp_library import PACKAGE, VERIFIED_VERSION, package_version

PREFIX_TOKENS = 6
TOLERANCE = 1e-2  # of a logit


def kv_refusal(context: Context, shape: KVShape) -> str | None:
    """Why prompts of the form kv cannot be served, as the rest of a sentence; None if they can.

    Uses both sequences of `context` and leaves them empty.
    """
    installed = package_version()
    if installed != VERIFIED_VERSION:
        return (
            f"the layout of llama.cpp's cache was verified with {PACKAGE} {VERIFIED_VERSION}, and "
            f"{installed} is installed; install that version, or tune one with --form embedding"
        )
    try:
        difference = _difference(context, shape)
    except (StateLayoutError, DecodeError) as error:
        difference = str(error)
    finally:
        context.cut(0)
        context.cut(0, SCRATCH)
    if difference is None:
        return None
    return (
        f"keys and values written into llama.cpp's cache do not count as they should "
        f"({difference}); tune one with --form embedding"
    )


def _difference(context: Context, shape: KVShape) -> str | None:
    """What differs between tokens and their keys and values, written; None if nothing does."""
    size = context.weights.vocabulary_size
    token = size // 2
    ids = [token, *(n * size // 7 for n in range(1, PREFIX_TOKENS - 1)), token]
    context.forward(ids, 0, scored=0)
    state = SequenceState.decode(context.state(), context.cache, shape.width)
    expected = context.forward([token], len(ids), scored=1).copy()
    rows = shape.rows_of_state(state)
    if not _rotated(rows, shape):
        return "it rotates other channels of a key"
    context.set_state(shape.state_of_rows(rows).encode(context.cache), SCRATCH)
    logits = context.forward([token], len(ids), scored=1, sequence=SCRATCH)
    worst = float(np.abs(logits - expected).max())
    return None if worst <= TOLERANCE else f"the logits differ by {worst:.3g}"


def _rotated(rows: NDArray[np.float32], shape: KVShape) -> bool:
    """Whether a rotation keeps the length of channels i and i + D/2 of the first layer's keys.

    The first and the last token are the same, so their keys there differ by their rotation only.
    """
    keys = rows[[0, -1], : shape.width].reshape(2, shape.heads, 2, shape.channels // 2)
    first, last = np.hypot(keys[:, :, 0], keys[:, :, 1])
    return bool(np.abs(first - last).max() <= 0.05 * first.max())
