"""What stands in front of a request's ids, and how a request to vLLM says it."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from code_model.language_model import ModelLoadError
from code_model.vllm.placeholders import salt_of

EMBEDDING = "model.embed_tokens.weight"


class Beginning(Protocol):
    """The beginning of every request of a session."""

    @property
    def positions(self) -> int:
        """How many positions it takes."""

    def request(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """The part of a request that says: this beginning, then `ids`."""


@dataclass(frozen=True)
class TokenBeginning:
    """Real tokens: the beginning-of-sequence token, or nothing."""

    ids: tuple[int, ...]

    @property
    def positions(self) -> int:
        """See `Beginning`."""
        return len(self.ids)

    def request(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """See `Beginning`."""
        return {"prompt": [*self.ids, *ids]}


@dataclass(frozen=True)
class PlaceholderBeginning:
    """A prompt of the form kv, which lies on the server (`code_model.vllm.kv_connector`)."""

    sha256: str
    ids: tuple[int, ...]

    @property
    def positions(self) -> int:
        """See `Beginning`."""
        return len(self.ids)

    def request(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """See `Beginning`."""
        return {"prompt": [*self.ids, *ids], "cache_salt": salt_of(self.sha256)}


class EmbeddingTable:
    """The input embeddings of a model folder, mapped from disk."""

    def __init__(self, files: Sequence[Path], width: int) -> None:
        """Raises `ModelLoadError` if no file has the table, of this width."""
        for file in files:
            try:
                with safe_open(file, framework="pt") as opened:
                    if EMBEDDING in opened.keys():  # noqa: SIM118 (not a mapping)
                        self._table: Tensor = opened.get_tensor(EMBEDDING)
                        break
            except (OSError, SafetensorError) as error:
                raise ModelLoadError(
                    f"{file} is missing or truncated; get the model's files again."
                ) from error
        else:
            raise ModelLoadError(
                f"The weights have no tensor {EMBEDDING}, which an embedding prompt needs."
            )
        if self._table.shape[1] != width:
            raise ModelLoadError(
                f"The tensor {EMBEDDING} is {self._table.shape[1]} wide, and config.json says "
                f"{width}; the folder mixes two models."
            )

    def rows(self, ids: Sequence[int]) -> Tensor:
        """The embeddings (T, d) of ids, as they are stored."""
        return self._table[torch.tensor(ids, dtype=torch.long)]


@dataclass(frozen=True)
class EmbeddingBeginning:
    """Virtual tokens as input embeddings (P, d).

    /v1/completions of vLLM 0.32 takes a whole input as embeddings or none of it
    (docs/team-server.md), so the tokens behind the prompt are looked up here. vLLM's prefix cache
    knows embeddings by their bytes, so equal ones are computed once.
    """

    rows: Tensor
    table: EmbeddingTable
    dtype: torch.dtype

    @property
    def positions(self) -> int:
        """See `Beginning`."""
        return len(self.rows)

    def request(self, ids: Sequence[int]) -> Mapping[str, Any]:
        """See `Beginning`."""
        whole = torch.cat([self.rows.to(self.dtype), self.table.rows(ids).to(self.dtype)])
        buffer = io.BytesIO()
        torch.save(whole, buffer)
        return {"prompt_embeds": base64.b64encode(buffer.getvalue()).decode("ascii")}
