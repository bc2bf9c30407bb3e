"""The trainable prompt, in all forms: scaled offsets on its start, first token frozen."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from code_context.languages import language_of
from code_context.scopes import find_scopes
from code_context.syntax import parse
from code_model.decoder.llama import Attention, Llama, PrefixKV
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows, rows_to_kv
from code_model.loading import BaseModel
from prompts.form import Form
from tuning.config import TuningConfig
from tuning.corpus import SourceFile
from tuning.examples import TrainingExamples
from tuning.query_clusters import DOCUMENTS, clustered

CHUNK_TOKENS = 64  # Sampled Chunk Init of arXiv 2508.17032 uses chunks of this length
VALUE_STEPS = 5.0  # values of clusters are means, shorter than they become (docs/experiments.md)
IDENTIFIER = re.compile(r"[A-Za-z_]\w{3,}")


class Prefix(nn.Module):
    """Rows (P, width) of a prompt file = start + scale · delta, and the prefix they stand for.

    `scale` is the root mean square of the start over its tokens, for each column (in the kv forms:
    layer, key or value, head and channel), so that one learning rate serves all layers and models.
    The first token never changes: it is the attention sink.
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.start: Tensor
        self.scale: Tensor
        self.register_buffer("start", start.detach().clone())
        self.register_buffer("scale", self.start.square().mean(dim=0, keepdim=True).sqrt())
        self.delta = nn.Parameter(torch.zeros_like(self.start[1:]))

    def rows(self, delta: Tensor | None = None) -> Tensor:
        """What the prompt file holds, (P, width), differentiable in the offsets; `delta` are other
        ones."""
        moved = self.scale * (self.delta if delta is None else delta)
        return torch.cat((self.start[:1], self.start[1:] + moved))

    def kv(self, model: Llama) -> PrefixKV:
        """The prefix, differentiable in the offsets."""
        raise NotImplementedError


class KVPrefix(Prefix):
    """The rows are keys and values of every layer, at the positions 0..P-1."""

    positions = True

    def kv(self, model: Llama) -> PrefixKV:
        """The rows in the engine's layout."""
        return PrefixKV(rows_to_kv(self.rows(), model.config), self.positions)


class NoPEPrefix(KVPrefix):
    """The same without positions."""

    positions = False


class EmbeddingPrefix(Prefix):
    """The rows are input embeddings; the model turns them into keys and values."""

    def kv(self, model: Llama) -> PrefixKV:
        """Keys and values of the rows at the positions 0..P-1; gradients run through the model."""
        x = self.rows()[None]
        cos, sin = model.cos[: x.shape[1]], model.sin[: x.shape[1]]
        layers = list[Tensor]()

        def attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            layers.append(torch.stack((k[0], v[0])))
            return attention.attend(q, k, v, None)

        for layer in model.blocks:
            x = layer(x, cos, sin, attend)
        return PrefixKV(torch.stack(layers))


FORMS: dict[Form, type[Prefix]] = {
    "kv-nope": NoPEPrefix,
    "kv": KVPrefix,
    "embedding": EmbeddingPrefix,
}


def initial_prefix(base: BaseModel, form: Form, ids: Sequence[int]) -> Prefix:
    """A prefix whose rows are those of the given tokens; in the form kv-nope their keys then count
    as if they had no positions."""
    if form != "embedding":
        return FORMS[form](kv_to_rows(kv_of_ids(base.model, ids)))
    return EmbeddingPrefix(base.model.model.embed_tokens(torch.tensor(ids, dtype=torch.long)))


def start_prefix(
    base: BaseModel,
    config: TuningConfig,
    files: Sequence[SourceFile],
    examples: TrainingExamples,
    progress: Callable[[float], None],
) -> Prefix:
    """What a first prompt begins as: the clusters of what the first `examples` ask
    (`tuning.query_clusters`) behind the first token of real code of `files`; in the embedding form,
    that code.

    `progress` hears the share done.
    """
    ids = initial_ids(base, files, config.num_virtual_tokens)
    if config.form == "embedding":
        return initial_prefix(base, config.form, ids)
    documents = [examples[number].ids for number in range(DOCUMENTS)]
    kv = clustered(
        base.model,
        kv_of_ids(base.model, ids),
        documents,
        config.seed,
        progress,
        positions=config.form == "kv",
    )
    prefix = FORMS[config.form](kv_to_rows(kv))
    prefix.scale.view(len(kv), 2, -1)[:, 1] *= VALUE_STEPS
    return prefix


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
    starts = {0, *(scope.start for scope in find_scopes(tree))}
    chunks = [file.text[start : start + 4 * CHUNK_TOKENS] for start in sorted(starts)]
    return [(file.path, chunk, set(IDENTIFIER.findall(chunk))) for chunk in chunks]
