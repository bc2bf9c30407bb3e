"""What the soak's client does: actions drawn at random, as often as their weights say."""

import asyncio
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lsprotocol import types

from benchmarks.soak.client import Asked, OpenDocument, SoakClient
from code_model.decoder.model import DecoderModel
from code_model.decoder.soft_prompt import kv_of_ids, kv_to_rows
from code_model.loading import load_model
from lsp_server.protocol import DID_ACCEPT, DID_FOCUS, DID_REJECT, DID_SHOW, STATISTICS
from prompts.atomic_write import replace_file
from prompts.file import DEFAULT_PROMPT, PromptFile, write_prompt
from prompts.manifest import Manifest

PENDING = (0, 2, 4, 8, 8, 8)
"""How many requests may be without an answer before the client acts again: 0 is a person who reads,
8 one who types on."""
MAX_LINES = 400
"""A document that has grown to so many lines gets its first text again."""
BURST = 12
"""The longest run of characters that are typed without waiting for an answer."""
PROMPTS = "ab"
"""The names of the prompts."""
PROMPT_GLOBS = ("package/**",)
"""What the prompts serve, so that the probes, which lie elsewhere, never depend on a swap."""


class Workspace:
    """Two folders on disk: `first` is a git repository with the storm's files, `second` is not."""

    def __init__(self, folder: Path, texts: list[str], storm_files: int) -> None:
        self.first, self.second = folder / "first", folder / "second"
        self.storm_files = storm_files
        self.storms = 0
        self.texts = texts
        for root in (self.first, self.second):
            (root / "package").mkdir(parents=True)
            for number, text in enumerate(texts):
                (root / "package" / f"module_{number}.py").write_text(text, encoding="utf-8")
        (self.first / ".attune").mkdir()
        (self.first / "storm").mkdir()
        subprocess.run(["git", "init", "--quiet", str(self.first)], check=True)
        model = load_model()
        if not isinstance(model, DecoderModel):
            raise TypeError("The soak makes its prompts with the decoder; unset ATTUNE_MODEL.")
        self.prompts = [
            _prompt(model, name, text) for name, text in zip(PROMPTS, texts, strict=False)
        ]

    def documents(self) -> list[OpenDocument]:
        """Every file of both folders, not open."""
        return [
            OpenDocument((root / "package" / f"module_{number}.py").as_uri(), text.split("\n"))
            for root in (self.first, self.second)
            for number, text in enumerate(self.texts)
        ]

    def storm(self) -> None:
        """Rewrite many files at once, each with another content than before."""
        self.storms += 1
        for number in range(self.storm_files):
            text = (
                f"def storm_{number}_{self.storms % 2}(value: int) -> int:\n    return {number}\n"
            )
            file = self.first / "storm" / f"file_{number}.py"
            file.write_text(text, encoding="utf-8")
            # a time of its own: two writes within one tick of the clock must not look the same
            os.utime(file, ns=(self.storms * 10**9, self.storms * 10**9))

    def swap_prompt(self, choice: int) -> None:
        """Put one of the prompts in place, a damaged file, or none."""
        path = self.first / DEFAULT_PROMPT
        if choice < len(self.prompts):
            write_prompt(path, self.prompts[choice])
        elif choice == len(self.prompts):
            replace_file(path, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      damaged")
        else:
            path.unlink(missing_ok=True)

    def configure(self, choice: int) -> None:
        """Write other routes, a malformed file, or none."""
        path = self.first / ".attune" / "attune.toml"
        contents = ["", 'routes = [{ globs = ["package/**"], prompt = "default" }]\n', "routes = ["]
        if choice < len(contents):
            replace_file(path, contents[choice].encode())
        else:
            path.unlink(missing_ok=True)


def _prompt(model: DecoderModel, name: str, text: str) -> PromptFile:
    """The keys and values of real code as a prompt that serves."""
    ids = model.tokenizer.encode(text)[:32]
    rows = kv_to_rows(kv_of_ids(model.llama, ids)).numpy()
    manifest = Manifest(
        name=name,
        form="kv",
        num_virtual_tokens=len(ids),
        model=model.identity,
        attune_version="0.1.0",
        measured={"proven": True},
        globs=PROMPT_GLOBS,
    )
    return PromptFile(manifest, np.ascontiguousarray(rows, dtype=np.float32))


class Script:
    """Draws actions and performs them, until the client has sent as many requests as wanted."""

    def __init__(self, client: SoakClient, workspace: Workspace, seed: int) -> None:
        self._client = client
        self._workspace = workspace
        self._random = random.Random(seed)
        self._documents = workspace.documents()
        self._drafts = 0
        self._weights: dict[Callable[[], object], float] = {
            self._type: 60,
            self._explicit: 3,
            self._overtake: 3,
            self._new_line: 8,
            self._paste: 3,
            self._whole_text: 2,
            self._close_and_open: 3,
            self._draft: 3,
            self._focus: 4,
            self._statistics: 2,
            self._configuration: 1.5,
            self._swap: 1.5,
            self._folders: 0.7,
        }

    def begin(self) -> None:
        """Open some of the documents."""
        for document in self._documents[:: max(1, len(self._documents) // 8)]:
            self._client.open(document)

    async def visit_all(self) -> None:
        """Complete once in every document of the first folder, one after another."""
        for document in self._documents[: len(self._workspace.texts)]:
            was_open = document.is_open
            if not was_open:
                self._client.open(document)
            document.line = len(document.lines) - 1
            self._client.complete(document, explicit=True)
            await self._client.settle()
            if not was_open:
                self._client.close(document)

    async def visit_long(self) -> None:
        """Complete in the middle of a long document of each folder: no context is larger.

        The prompt serves the second one; the other folder has none.
        """
        lines = "\n".join(self._workspace.texts).split("\n")
        lines = (lines * (1 + 2 * MAX_LINES // len(lines)))[: 2 * MAX_LINES]
        for root in (self._workspace.second, self._workspace.first):
            document = OpenDocument((root / "package" / "long.py").as_uri(), list(lines))
            document.line = next(
                number for number in range(MAX_LINES, len(lines)) if "return " in lines[number]
            )
            self._client.open(document)
            self._client.complete(document, explicit=True)
            await self._client.settle()
            self._client.close(document)

    async def run(self, n_requests: int, n_storms: int) -> None:
        """Act until the client has sent `n_requests` more, with storms in between."""
        counts, start = self._client.counts, self._client.counts["requests"]
        storms = [start + n_requests * (n + 1) // (n_storms + 1) for n in range(n_storms)]
        actions, weights = list(self._weights), list(self._weights.values())
        while storms or counts["requests"] < start + n_requests:
            if storms and counts["requests"] >= storms[0]:
                storms.pop(0)
                counts["files changed in storms"] += self._workspace.storm_files
                storm = asyncio.create_task(asyncio.to_thread(self._workspace.storm))
                while not storm.done():  # typing goes on
                    await self._act(actions, weights)
                await storm
            await self._act(actions, weights)
        await self._client.settle()

    async def _act(self, actions: list[Callable[[], object]], weights: list[float]) -> None:
        action = self._random.choices(actions, weights)[0]
        action()
        limit = self._random.choice(PENDING)
        while len(self._client.pending) > limit:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    def _one(self) -> OpenDocument:
        return self._random.choice([one for one in self._documents if one.is_open])

    def _type(self) -> None:
        """Type a run of characters of a real line; each asks, and some requests are cancelled."""
        document, client, draw = self._one(), self._client, self._random
        if draw.random() < 0.2:
            document.line = draw.randrange(len(document.lines))
        for character in self._real_line()[: draw.randint(1, BURST)]:
            line = document.lines[document.line]
            client.replace_line(document, document.line, len(line), character)
            asked = client.complete(document)
            if draw.random() < 0.1:
                client.cancel(asked)
            if draw.random() < 0.15:
                client.confirm(document)
        asked.future.add_done_callback(lambda _: self._react(asked))

    def _react(self, asked: Asked) -> None:
        """Accept, show or dismiss what was suggested, if the document is as it was."""
        document, client = asked.document, self._client
        if asked.future.cancelled() or asked.future.exception() is not None:
            return
        items = asked.future.result().items
        if not items or not document.is_open or document.state != asked.state:
            return
        item: types.InlineCompletionItem = items[0]
        reaction = self._random.random()
        if reaction < 0.3 and item.command is not None and item.range is not None:
            line = document.lines[asked.position.line]
            if item.range.end.character == asked.position.character:
                client.replace_line(document, asked.position.line, len(line), str(item.insert_text))
                client.request(
                    "accepted",
                    types.WORKSPACE_EXECUTE_COMMAND,
                    types.ExecuteCommandParams(DID_ACCEPT, arguments=item.command.arguments),
                )
        elif reaction < 0.6:
            client.notify("shown", DID_SHOW, {"item": item})
        elif reaction < 0.7:
            client.notify("dismissed", DID_REJECT, {"item": item})

    def _explicit(self) -> None:
        self._ask(self._one())

    def _ask(self, document: OpenDocument) -> None:
        document.line = self._random.randrange(len(document.lines))
        self._client.complete(document, explicit=True)

    def _overtake(self) -> None:
        """Edit a document for which the model runs, without another request: no answer holds."""
        document = self._one()
        self._ask(document)
        self._client.replace_line(document, 0, len(document.lines[0]), "#")
        self._client.confirm(document)

    def _new_line(self) -> None:
        document = self._one()
        line = document.lines[document.line]
        indent = line[: len(line) - len(line.lstrip())]
        self._client.replace_line(document, document.line, len(line), f"\n{indent}")
        document.line += 1
        self._client.complete(document)

    def _paste(self) -> None:
        document = self._one()
        block = "\n".join(self._real_line() for _ in range(self._random.randint(2, 30)))
        self._client.replace_line(document, document.line, 0, f"{block}  # é 😀")
        if len(document.lines) > MAX_LINES:
            self._client.replace_all(
                document, self._random.choice(self._workspace.texts).split("\n")
            )
        self._client.confirm(document)

    def _whole_text(self) -> None:
        document = self._one()
        self._client.replace_all(document, self._real_text())
        self._client.complete(document)

    def _close_and_open(self) -> None:
        """Close a document while one of its requests may run; open another one."""
        document = self._one()
        self._client.complete(document)
        self._client.close(document)
        self._client.confirm(document)
        closed = [one for one in self._documents if not one.is_open]
        self._client.open(self._random.choice(closed))

    def _draft(self) -> None:
        """A document with a new name, completed once and closed."""
        self._drafts += 1
        folder = self._random.choice((self._workspace.first, self._workspace.second))
        path = folder / "package" / f"draft_{self._drafts}.py"
        draft = OpenDocument(path.as_uri(), self._real_text())
        draft.line = self._random.randrange(len(draft.lines))
        self._client.open(draft)
        asked = self._client.complete(draft)
        asked.future.add_done_callback(lambda _: self._client.close(draft))

    def _focus(self) -> None:
        identifier = {"textDocument": {"uri": self._one().uri}}
        self._client.notify("focus changes", DID_FOCUS, identifier)

    def _statistics(self) -> None:
        self._client.request("statistics", STATISTICS, {})

    def _configuration(self) -> None:
        self._workspace.configure(self._random.randrange(4))
        self._client.counts["configurations"] += 1
        self._client.notify(
            "configuration notices",
            types.WORKSPACE_DID_CHANGE_CONFIGURATION,
            types.DidChangeConfigurationParams(settings={"attune": {"sureness": "eager"}}),
        )

    def _swap(self) -> None:
        self._workspace.swap_prompt(self._random.choice((0, 1, 0, 1, 2, 3)))
        self._client.counts["prompt swaps"] += 1

    def _folders(self) -> None:
        """Remove the second folder and add it again."""
        second = types.WorkspaceFolder(self._workspace.second.as_uri(), "second")
        for added, removed in (([], [second]), ([second], [])):
            event = types.WorkspaceFoldersChangeEvent(added=added, removed=removed)
            self._client.notify(
                "folder changes",
                types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS,
                types.DidChangeWorkspaceFoldersParams(event),
            )

    def _real_text(self) -> list[str]:
        return self._random.choice(self._workspace.texts).split("\n")

    def _real_line(self) -> str:
        return self._random.choice([line.strip() for line in self._real_text() if line.strip()])
