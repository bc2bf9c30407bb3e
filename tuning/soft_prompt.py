"""The trainable soft prompt, in all forms: scaled offsets on its start, first token frozen."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from code_context.languages import language_of
from code_context.scopes import find_scopes
from code_context.syntax import parse
from code_model.language_model import TunableModel
from prompts.form import Form
from tuning.config import TuningConfig
from tuning.corpus import SourceFile
from tuning.examples import TrainingExamples
from tuning.query_clusters import DOCUMENTS, clustered

CHUNK_TOKENS = 64  # Sampled Chunk Init of arXiv 2508.17032 uses chunks of this length
VALUE_STEPS = 5.0  # values of clusters are means, shorter than they become (docs/experiments.md)
IDENTIFIER = re.compile(r"[A-Za-z_]\w{3,}")


class SoftPrompt(nn.Module):
    """Prompt embeddings (P, width) = start + scale · delta, in one of the forms of a prompt file.

    `scale` is the root mean square of the start over its tokens, for each column (in the kv forms:
    layer, key or value, head and channel), so that one learning rate serves all layers and models.
    The first token never changes: it is the attention sink.
    """

    def __init__(self, start: Tensor, form: Form) -> None:
        super().__init__()
        self.form = form
        self.start: Tensor
        self.scale: Tensor
        self.register_buffer("start", start.detach().clone())
        self.register_buffer("scale", self.start.square().mean(dim=0, keepdim=True).sqrt())
        self.delta = nn.Parameter(torch.zeros_like(self.start[1:]))

    def prompt_embeddings(self, delta: Tensor | None = None) -> Tensor:
        """The tensor of the prompt file, (P, width), differentiable in the offsets.

        `delta` replaces the prompt's own offsets.
        """
        offsets = self.scale * (self.delta if delta is None else delta)
        return torch.cat((self.start[:1], self.start[1:] + offsets))


def initial_prompt(
    model: TunableModel,
    config: TuningConfig,
    files: Sequence[SourceFile],
    examples: TrainingExamples,
    progress: Callable[[float], None],
) -> SoftPrompt:
    """The start of a first prompt.

    In the kv forms: the first token of real code of `files`, then the clusters of the first
    examples' queries (`tuning.query_clusters`). In the form embedding, and where the engine cannot
    see the queries: that code. `progress` is called with the share done (0 to 1).
    """
    ids = initial_ids(model, files, config.num_virtual_tokens)
    embeddings = model.prompt_embeddings_of(ids, config.form)
    if config.form == "embedding":
        return SoftPrompt(embeddings, config.form)
    documents = [examples[number].ids for number in range(DOCUMENTS)]
    clusters = clustered(model, embeddings, documents, config.form, config.seed, progress)
    if clusters is None:
        return SoftPrompt(embeddings, config.form)
    prompt = SoftPrompt(clusters, config.form)
    prompt.scale.view(model.identity.num_layers, 2, -1)[:, 1] *= VALUE_STEPS
    return prompt


def initial_ids(
    model: TunableModel, files: Sequence[SourceFile], num_virtual_tokens: int
) -> list[int]:
    """Ids of real code to start from: the chunks that cover most identifiers that files share.

    Candidates are the heads of files and of their classes and functions. Greedy: each next chunk
    adds most new identifiers, each weighted by the number of other files that use it.
    """
    encoder = model.encoder
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
    while len(ids) < num_virtual_tokens:  # a tiny repository: repeat it
        ids += ids[1:] or ids
    return ids[:num_virtual_tokens]


def _heads(file: SourceFile) -> list[tuple[str, str, set[str]]]:
    """Path, text and identifiers of each candidate chunk."""
    tree = parse(file.text, language_of(file.path))
    starts = {0, *(scope.start for scope in find_scopes(tree))}
    chunks = [file.text[start : start + 4 * CHUNK_TOKENS] for start in sorted(starts)]
    return [(file.path, chunk, set(IDENTIFIER.findall(chunk))) for chunk in chunks]
