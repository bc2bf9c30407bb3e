"""The decoder's forward step in native code, compiled on this machine where it has a compiler.

`decode.cpp` is compiled once for each machine, in the background, and kept in the user's cache
folder; until then, and where there is no compiler, torch computes the same
(`code_model.decoder.forward`).
Weights whose values bfloat16 holds exactly are kept in it: half the memory to read at every token,
and not another result.
"""

import atexit
import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import platformdirs
import torch
import torch.nn.functional as F
from torch import Tensor

from code_model.cancel import Cancel, StepCancelledError
from code_model.decoder.kv_cache import KVCache
from code_model.decoder.llama import Llama

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("decode.cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
COMPILE_SECONDS = 600.0  # it takes a few, but lets everything else go first
TILE = 64  # rows; as in decode.cpp
MAX_THREADS = 8  # more would wait for memory


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("vocab", "hidden", "inner", "layers", "heads")),
        *((name, ctypes.c_int64) for name in ("kv_heads", "head_dim", "bf16")),
        ("eps", ctypes.c_float),
    )


class _Layer(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("attention_norm", "qkv", "qkv_bias", "out", "inner_norm", "gate_up", "down")
    )


class _Model(ctypes.Structure):
    _fields_ = (
        ("shape", _Shape),
        *((name, ctypes.c_void_p) for name in ("embedding", "norm", "cos", "sin", "head")),
        ("layers", ctypes.POINTER(_Layer)),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        *((name, ctypes.c_int64) for name in ("tokens", "scored", "start", "capacity", "nope")),
        *((name, ctypes.c_void_p) for name in ("keys", "values")),
        ("chosen", ctypes.POINTER(ctypes.c_int32)),
        ("logprobs", ctypes.POINTER(ctypes.c_float)),
        ("cancelled", ctypes.c_void_p),
    )


def cache_folder() -> Path:
    """Where compiled code is kept: of this user, outside every workspace."""
    return platformdirs.user_cache_path("attune", appauthor=False)


def library_file(compiler: str) -> Path:
    """The file that this compiler makes of this source on this processor."""
    described = (SOURCE.read_text(), *FLAGS, compiler, platform.machine(), _processor())
    digest = hashlib.sha256("\0".join(described).encode()).hexdigest()
    return cache_folder() / f"decode-{digest[:16]}.so"


def find_compiler() -> str | None:
    """A C++ compiler of this machine, None without one or where we do not know how to use it."""
    if os.name != "posix":
        return None
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def compiled_library() -> Path | None:
    """The file that an earlier run has compiled, None if there is none."""
    compiler = find_compiler()
    if compiler is None:
        return None
    file = library_file(compiler)
    try:
        owner = file.stat().st_uid
    except OSError:
        return None
    return file if owner == os.getuid() else None


def compile_library() -> Path | None:
    """The compiled file, made now if it is not there yet; None where that fails."""
    if (already := compiled_library()) is not None:
        return already
    compiler = find_compiler()
    if compiler is None:
        return None
    file = library_file(compiler)
    made = file.with_suffix(f".{os.getpid()}")
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(made)]
    if nice := shutil.which("nice"):
        command[:0] = [nice, "-n", "10"]
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as running:

            def kill() -> None:
                if running.poll() is None:  # with what the compiler has started
                    os.killpg(running.pid, signal.SIGKILL)

            def end() -> None:
                kill()
                made.unlink(missing_ok=True)

            atexit.register(end)  # who leaves meanwhile need not wait
            try:
                failed = running.wait(COMPILE_SECONDS) != 0
            finally:
                kill()  # else the end of `with` waits for a compiler that takes too long
                atexit.unregister(end)
        if not failed:
            made.replace(file)
            _remove_leftovers(file.parent)
    except (OSError, subprocess.SubprocessError):
        failed = True
    if failed:
        made.unlink(missing_ok=True)
        logger.warning("The native decoder could not be compiled; torch does its work.")
        return None
    return file


def _remove_leftovers(folder: Path) -> None:
    """Delete what runs that were killed while they compiled have left behind."""
    oldest = time.time() - 2 * COMPILE_SECONDS
    for leftover in folder.glob("decode-*.[0-9]*"):
        with contextlib.suppress(OSError):
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()


@cache
def _loaded(file: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(file))
    library.attune_crew.restype = ctypes.c_void_p
    library.attune_crew.argtypes = (ctypes.c_int,)
    library.attune_dismiss.argtypes = (ctypes.c_void_p,)
    library.attune_step.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.attune_step.restype = ctypes.c_int
    library.attune_pack.argtypes = (
        ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
    )  # fmt: skip
    return library


class NativeForward:
    """A model's weights, packed for the compiled step, and the threads that compute it.

    Not thread-safe. The model must stay alive and unchanged: some of its tensors are read in place.
    """

    def __init__(self, model: Llama, library: Path, threads: int | None = None) -> None:
        self._library = _loaded(library)
        self._kept: list[Tensor] = []
        self._bf16 = all(
            torch.equal(parameter, parameter.bfloat16().float())
            for parameter in model.parameters()
            if parameter.ndim == 2
        )
        self._model = self._packed(model)
        self._layers: ctypes.Array[_Layer]
        count = threads or min(torch.get_num_threads(), MAX_THREADS)
        self._crew = self._library.attune_crew(count)

    def __del__(self) -> None:
        if crew := getattr(self, "_crew", None):
            self._library.attune_dismiss(crew)

    def step(
        self, ids: Sequence[int], cache: KVCache, scored: int, cancel: Cancel | None = None
    ) -> tuple[list[int], list[float]]:
        """As `Forward.step`, bit for bit the same however `ids` are divided."""
        tokens = len(ids)
        if not 0 <= scored <= tokens or cache.length + tokens > cache.capacity:
            raise ValueError(f"{tokens} tokens do not fit a cache of {cache.capacity}")
        if cache.keys.dtype != torch.float16:
            raise ValueError(f"the compiled step reads float16, not {cache.keys.dtype}")
        given = (ctypes.c_int32 * tokens)(*ids)
        chosen, logprobs = (ctypes.c_int32 * scored)(), (ctypes.c_float * scored)()
        step = _Step(
            given, tokens, scored, cache.length, cache.keys.shape[2], cache.nope,
            cache.keys.data_ptr(), cache.values.data_ptr(), chosen, logprobs,
            None if cancel is None else cancel.address,
        )  # fmt: skip
        model = ctypes.byref(self._model)
        if not self._library.attune_step(self._crew, model, ctypes.byref(step)):
            raise StepCancelledError
        cache.length += tokens
        return list(chosen), list(logprobs)

    def _packed(self, model: Llama) -> _Model:
        config, decoder = model.config, model.model
        self._layers = (_Layer * config.num_hidden_layers)()
        for index, block in enumerate(model.blocks):
            attention, mlp = block.self_attn, block.mlp
            projections = (attention.q_proj, attention.k_proj, attention.v_proj)
            bias = None
            if attention.q_proj.bias is not None:
                bias = self._kept_at(torch.cat([one.bias for one in projections]))
            self._layers[index] = _Layer(
                block.input_layernorm.weight.data_ptr(),
                self._pack(torch.cat([one.weight for one in projections])),
                bias,
                self._pack(attention.o_proj.weight),
                block.post_attention_layernorm.weight.data_ptr(),
                self._pack(_by_turns(mlp.gate_proj.weight, mlp.up_proj.weight)),
                self._pack(mlp.down_proj.weight),
            )
        embedding = decoder.embed_tokens.weight
        head = embedding if config.tie_word_embeddings else model.lm_head.weight
        shape = _Shape(
            config.vocab_size, config.hidden_size, config.intermediate_size,
            config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads,
            config.head_dim, self._bf16, config.rms_norm_eps,
        )  # fmt: skip
        return _Model(
            shape, embedding.data_ptr(), decoder.norm.weight.data_ptr(), model.cos.data_ptr(),
            model.sin.data_ptr(), self._pack(head), self._layers,
        )  # fmt: skip

    def _kept_at(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()

    def _pack(self, weight: Tensor) -> int:
        """The address of a matrix in tiles of `TILE` rows."""
        weight = weight.detach().contiguous()
        rows, width = weight.shape
        dtype = torch.bfloat16 if self._bf16 else torch.float32
        packed = torch.empty((-(-rows // TILE) * TILE, width), dtype=dtype)
        self._library.attune_pack(
            weight.data_ptr(), rows, width, int(self._bf16), packed.data_ptr()
        )
        return self._kept_at(packed)


def _by_turns(gate: Tensor, up: Tensor) -> Tensor:
    """Tiles of the two matrices one after the other, so that one thread has both of a row."""
    padding = (0, 0, 0, -gate.shape[0] % TILE)
    tiles = [F.pad(one, padding).view(-1, TILE, one.shape[1]) for one in (gate, up)]
    return torch.stack(tiles, dim=1).reshape(-1, gate.shape[1])


def _processor() -> str:
    """What tells processors apart that share an instruction set's name."""
    try:
        described = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = described.partition("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(wanted))
