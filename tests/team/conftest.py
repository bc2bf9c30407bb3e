"""A real vLLM with the default model, started by the command that `attune team serve` writes.

ATTUNE_VLLM_PYTHON names a Python that has vLLM; `make test-team` makes one. The server takes a
minute to start, so all tests share it.
"""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest
import torch

from code_model.language_model import TunableModel
from code_model.loading import load_model, load_tunable_model
from code_model.model_choice import DEFAULT, ModelChoice
from code_model.model_folder import read_model_folder
from code_model.team_server import TeamServer
from code_model.vllm.model import VllmModel
from code_model.vllm_command import vllm_command
from prompts.configuration import stored_file
from prompts.file import PromptFile, read_prompt, write_prompt
from prompts.form import Form
from prompts.manifest import Manifest

ROOT = Path(__file__).resolve().parents[2]
KEY = "sesame"
START_S = 600
PATIENT_S = 120.0
BLOCK = 32
KV_POSITIONS = 2048

pytestmark = pytest.mark.team


@dataclass
class RealServer:
    """A server in a process of its own, with the store of prompts that it reads."""

    python: str
    store: Path
    log: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> TeamServer:
        return TeamServer(
            f"http://127.0.0.1:{self.port}",
            "env:TEAM_KEY",
            positions=KV_POSITIONS,
            timeout_s=PATIENT_S,
            kv_prompts=True,
        )

    def start(self) -> None:
        """Start it on its port, a free one the first time, and wait until it serves."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = vllm_command(
            read_model_folder(DEFAULT), port=self.port, precision="float32", store=self.store
        )
        words = [word for part in command.parts for word in part.words]
        # the package of the CPU build has another name, which its own `vllm` does not find
        words[:2] = [self.python, "-m", "vllm.entrypoints.openai.api_server", "--model"]
        words += ["--enforce-eager", "--block-size", str(BLOCK)]
        cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        environment = {**os.environ, **cpu, "VLLM_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                if httpx2.get(f"http://127.0.0.1:{self.port}/health").is_success:
                    return
            except httpx2.TransportError:
                time.sleep(0.5)  # it is loading; there is nothing else to wait for
        raise AssertionError(self.log.read_text()[-3000:])

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def resident_bytes(self) -> int:
        """Memory of the server and its processes."""
        if self.process is None:
            raise RuntimeError("the server does not run")
        server = psutil.Process(self.process.pid)
        return sum(each.memory_info().rss for each in (server, *server.children(recursive=True)))

    def metrics(self) -> Mapping[str, float]:
        """The counters of vLLM, by name without labels."""
        text = httpx2.get(f"http://127.0.0.1:{self.port}/metrics").text
        found = re.findall(r"^(vllm:\w+_total)\{[^}]*\} (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    python = os.environ.get("ATTUNE_VLLM_PYTHON")
    if python is None:
        pytest.skip("ATTUNE_VLLM_PYTHON names no Python with vLLM; see `make test-team`")
    folder = tmp_path_factory.mktemp("vllm")
    server = RealServer(python, folder / "store", folder / "log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def local() -> TunableModel:
    """The default model on this machine, in float32 throughout, as the server computes it."""
    pytest.importorskip("transformers")
    choice = ModelChoice(DEFAULT, engine="transformers", device="cpu", precision="float32")
    return load_tunable_model(choice)


@pytest.fixture
def remote(real_server: RealServer, monkeypatch: pytest.MonkeyPatch) -> VllmModel:
    """The default model on the server."""
    monkeypatch.setenv("TEAM_KEY", KEY)
    model = load_model(ModelChoice(DEFAULT, server=real_server.address))
    assert isinstance(model, VllmModel)
    return model


def make_prompt(model: TunableModel, form: Form, tokens: int, seed: int, store: Path) -> PromptFile:
    """A stored prompt: real tokens, disturbed so that no text is the same."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = read_model_folder(model.folder).config["vocab_size"]
    ids = torch.randint(5, vocabulary, (tokens,), generator=generator).tolist()
    rows = model.prompt_embeddings_of(ids, form)
    rows = rows * (1 + 0.05 * torch.randn(rows.shape, generator=generator))
    manifest = Manifest(
        name=f"p{seed}",
        form=form,
        num_virtual_tokens=tokens,
        model=model.identity,
        attune_version="0.1.0",
    )
    prompt = PromptFile(manifest, np.ascontiguousarray(rows.detach().numpy(), np.float32))
    draft = store / f"draft-{form}-{seed}"
    draft.parent.mkdir(parents=True, exist_ok=True)
    sha256 = write_prompt(draft, prompt)
    target = stored_file(sha256, store)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(target)
    return read_prompt(target)
