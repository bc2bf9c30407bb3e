"""The trainable key/value prefix: scaled offsets on the KV of real code, first token frozen."""

import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from code_context.syntax import language_of, parse
from code_model.loading import BaseModel
from tuning.corpus import SourceFile

CHUNK_TOKENS = 64  # Sampled Chunk Init of arXiv 2508.17032 uses chunks of this length
IDENTIFIER = re.compile(r"[A-Za-z_]\w{3,}")


class KVPrefix(nn.Module):
    """(L, 2, G, P, D) = start + scale · delta.

    `scale` is the root mean square of the start over its tokens, for each layer, head and channel,
    so that one learning rate serves all layers and models. The first token never changes: it is
    the attention sink.
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.start: Tensor
        self.scale: Tensor
        self.register_buffer("start", start.clone())
        self.register_buffer("scale", start.square().mean(dim=3, keepdim=True).sqrt())
        self.delta = nn.Parameter(torch.zeros_like(start[:, :, :, 1:]))

    def forward(self) -> Tensor:
        """The prefix (L, 2, G, P, D), differentiable in the offsets."""
        moved = self.start[:, :, :, 1:] + self.scale * self.delta
        return torch.cat((self.start[:, :, :, :1], moved), dim=3)


def initial_ids(base: BaseModel, files: Sequence[SourceFile], num_virtual_tokens: int) -> list[int]:
    """Ids of real code to start from: the chunks that together name most of what files share.

    Candidates are the heads of files and of their classes and functions. Greedy: each next chunk
    adds most new identifiers, each weighted by the number of other files that use it.
    """
    encoder = base.encoder
    used_by = Counter(name for file in files for name in set(IDENTIFIER.findall(file.text)))
    candidates = [chunk for file in files for chunk in _heads(file)]
    covered: set[str] = set()
    ids = list(encoder.beginning_ids or encoder.end_ids[:1])
    while len(ids) < num_virtual_tokens and candidates:
        gains = [sum(used_by[name] - 1 for name in names - covered) for _, _, names in candidates]
        best = max(range(len(candidates)), key=gains.__getitem__)
        path, text, names = candidates.pop(best)
        covered |= names
        ids += encoder.encode_file(path, text)[:CHUNK_TOKENS]
    while len(ids) < num_virtual_tokens:  # a tiny repository: say it again
        ids += ids[1:] or ids
    return ids[:num_virtual_tokens]


def _heads(file: SourceFile) -> list[tuple[str, str, set[str]]]:
    tree = parse(file.text, language_of(file.path))
    starts = {0, *(scope.start for scope in tree.scopes)}
    chunks = [file.text[start : start + 4 * CHUNK_TOKENS] for start in sorted(starts)]
    return [(file.path, chunk, set(IDENTIFIER.findall(chunk))) for chunk in chunks]
