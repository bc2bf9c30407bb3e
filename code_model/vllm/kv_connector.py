"""A KV connector that vLLM loads: the keys and values of prompt files, in front of requests.

vLLM imports this module by `--kv-transfer-config` (`code_model.vllm_command` writes it). The half
in the scheduler says how many tokens of a request need not be computed, the half in each worker
writes their keys and values into the paged cache, by the very function with which the attention
layer writes its own, so that no layout of a backend is assumed here. From then on vLLM's prefix
cache finds them as it finds any block. That cache knows whole blocks, so a worker keeps what is
behind a prompt's last whole block; all else stays in the cache alone, and is read from the file
again where the cache gave it away.

A request behind a prompt that is missing, damaged or made for another model fails as a whole: its
placeholders are never computed as text.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorMetadata,
    KVConnectorRole,
)
from vllm.logger import init_logger
from vllm.model_executor.models.utils import extract_layer_index
from vllm.utils.gpu_sync_debug import gpu_sync_allowed

from code_model.prompt_layout import rows_to_kv
from code_model.vllm.placeholders import placeholder_ids, prompt_of_salt
from prompts.configuration import stored_file
from prompts.errors import PromptError
from prompts.file import PromptFile, read_prompt
from prompts.manifest import ModelIdentity

logger = init_logger(__name__)

DIGEST = re.compile("[0-9a-f]{64}")
MAX_TAILS = 256  # of the prompts used last


class UnusablePromptError(Exception):
    """A request is behind a prompt that this server cannot serve."""


class StoredPrompts:
    """The prompt files of a store that were made for one model."""

    def __init__(self, store: Path, identity: ModelIdentity) -> None:
        self._store = store
        self._identity = identity

    def read(self, sha256: str) -> PromptFile:
        """The prompt with this digest. Raises `UnusablePromptError`."""
        if DIGEST.fullmatch(sha256) is None:
            raise UnusablePromptError("a request names no digest of a prompt")
        try:
            prompt = read_prompt(stored_file(sha256, self._store), self._identity)
        except (PromptError, OSError) as error:
            raise UnusablePromptError(str(error)) from None
        if prompt.sha256 != sha256 or prompt.manifest.form != "kv":
            raise UnusablePromptError(f"the prompt {sha256[:12]} is another file, or not kv")
        return prompt


@dataclass(frozen=True)
class Load:
    """Keys and values to write: the virtual tokens `start` to `end` of a prompt.

    `blocks` are those of the request from its beginning. With `end` 0 the request is to fail.
    """

    sha256: str
    blocks: tuple[int, ...]
    start: int
    end: int


@dataclass
class Loads(KVConnectorMetadata):  # type: ignore[misc]
    """What the workers load before one step."""

    loads: list[Load] = field(default_factory=list)


class PromptConnector(KVConnectorBase_V1):  # type: ignore[misc]
    """See the module. vLLM makes one in the scheduler and one in each worker."""

    def __init__(self, vllm_config: Any, role: KVConnectorRole, kv_cache_config: Any) -> None:
        super().__init__(vllm_config=vllm_config, role=role, kv_cache_config=kv_cache_config)
        extra: Mapping[str, Any] = self._kv_transfer_config.kv_connector_extra_config
        identity = ModelIdentity(**extra["identity"])
        self._identity = identity
        self._prompts = StoredPrompts(Path(extra["store"]), identity)
        self._block_size = int(vllm_config.cache_config.block_size)
        self._vocabulary_size = int(vllm_config.model_config.get_vocab_size())
        self._planned: dict[str, tuple[str, int, int]] = {}
        self._loads: list[Load] = []
        self._failed_blocks: set[int] = set()
        self._counts: dict[str, int] = {}  # virtual tokens by digest
        self._tails: OrderedDict[str, Tensor] = OrderedDict()

    # in the scheduler

    def on_new_request(self, request: Any) -> None:
        """Let no request avoid the connector: without it, placeholders would be computed."""
        if prompt_of_salt(request.cache_salt) is not None:
            request.skip_reading_prefix_cache = False

    def get_num_new_matched_tokens(
        self, request: Any, num_computed_tokens: int
    ) -> tuple[int | None, bool]:
        """Virtual tokens that are not in vLLM's own cache yet."""
        sha256 = prompt_of_salt(request.cache_salt)
        if sha256 is None:
            return 0, False
        try:
            end = self._virtual_tokens(sha256, request)
        except UnusablePromptError as error:
            return self._refuse(request, num_computed_tokens, error), False
        count = max(0, end - num_computed_tokens)
        self._planned[request.request_id] = (sha256, num_computed_tokens, end)
        return count, False

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        """Note which blocks the virtual tokens of a request have got."""
        planned = self._planned.pop(request.request_id, None)
        if planned is None or not num_external_tokens:
            return
        sha256, start, end = planned
        (own,) = self._kv_cache_manager.get_block_ids(request.request_id)
        self._loads.append(Load(sha256, tuple(own), start, end))

    def build_connector_meta(self, scheduler_output: Any) -> Loads:
        """What the workers load before the next step."""
        loads, self._loads = Loads(self._loads), []
        return loads

    def request_finished(self, request: Any, block_ids: Any) -> tuple[bool, None]:
        """Forget a request; its blocks are vLLM's to free."""
        self._planned.pop(request.request_id, None)
        return False, None

    def _refuse(self, request: Any, computed: int, error: UnusablePromptError) -> int | None:
        """Tokens whose load is going to fail, by which vLLM ends a request with an error.

        A request too short for that waits until its client goes away.
        """
        logger.warning("A request behind a soft prompt fails: %s", error)
        count = min(self._block_size, request.num_tokens - 1 - computed)
        self._planned[request.request_id] = ("", computed, 0)
        return count if count > 0 else None

    def _virtual_tokens(self, sha256: str, request: Any) -> int:
        """How many a request begins with. Raises `UnusablePromptError`."""
        if sha256 not in self._counts:
            self._counts[sha256] = self._prompts.read(sha256).manifest.num_virtual_tokens
        count = self._counts[sha256]
        expected = placeholder_ids(sha256, count, self._vocabulary_size)
        ids = list(request.prompt_token_ids or [])
        if ids[:count] != expected or len(ids) == count:
            raise UnusablePromptError(
                f"a request does not begin with the placeholders of the prompt {sha256[:12]}"
            )
        return count

    # in a worker

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Write the keys and values of virtual tokens into the paged cache."""
        metadata = self._get_connector_metadata()
        if not isinstance(metadata, Loads) or not metadata.loads:
            return
        layers = {
            extract_layer_index(name): layer
            for name, layer in forward_context.no_compile_layers.items()
            if getattr(layer, "kv_cache", None) is not None
        }
        for load in metadata.loads:
            if not load.end or not self._write(load, layers):
                # those before hold what other requests may share
                self._failed_blocks.update(load.blocks[load.start // self._block_size :])

    def get_block_ids_with_load_errors(self) -> set[int]:
        """The blocks of requests that vLLM is to end with an error."""
        failed, self._failed_blocks = self._failed_blocks, set()
        return failed

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing: everything is written before the step."""

    def save_kv_layer(
        self, layer_name: str, kv_layer: Tensor, attn_metadata: Any, **kwargs: Any
    ) -> None:
        """Nothing is saved."""

    def wait_for_save(self) -> None:
        """Nothing is saved."""

    def _write(self, load: Load, layers: Mapping[int, Any]) -> bool:
        """The virtual tokens of a load, in every layer; False if their file cannot be used."""
        device = next(iter(layers.values())).kv_cache.device
        try:
            kv = self._keys_and_values(load, device)
        except UnusablePromptError as error:
            logger.warning("A request behind a soft prompt fails: %s", error)
            return False
        positions = torch.arange(load.start, load.end)
        blocks = torch.tensor(load.blocks)[positions // self._block_size]
        slots = (blocks * self._block_size + positions % self._block_size).to(device)
        first = self._first_head()
        with gpu_sync_allowed():
            for index, layer in layers.items():
                heads = slice(first, first + int(layer.impl.num_kv_heads))
                keys, values = (each[:, heads].contiguous() for each in kv[index])
                layer.impl.do_kv_cache_update(layer, keys, values, layer.kv_cache, slots)
        return True

    def _keys_and_values(self, load: Load, device: torch.device) -> Tensor:
        """(L, 2, end - start, G, D) on the device. Raises `UnusablePromptError`."""
        tail = load.end - load.end % self._block_size  # the first token behind whole blocks
        kept = self._tails.get(load.sha256)
        if kept is not None and load.start >= tail:
            self._tails.move_to_end(load.sha256)
            return kept[:, :, load.start - tail :]
        identity = self._identity
        rows = torch.from_numpy(self._prompts.read(load.sha256).embeddings)
        kv = rows_to_kv(
            rows, identity.num_layers, identity.num_key_value_heads, identity.head_dim
        ).transpose(2, 3)
        with gpu_sync_allowed():
            kv = kv.to(device, self._vllm_config.model_config.dtype)
        if tail < load.end:
            self._tails[load.sha256] = kv[:, :, tail:].clone()
            if len(self._tails) > MAX_TAILS:
                self._tails.popitem(last=False)
        return kv[:, :, load.start :]

    def _first_head(self) -> int:
        """The first of the heads that this worker has; where there are few, some share one."""
        workers = self._vllm_config.parallel_config.tensor_parallel_size
        heads = self._identity.num_key_value_heads
        return int(get_tensor_model_parallel_rank() * heads // workers)
