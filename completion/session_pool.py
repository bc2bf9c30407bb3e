"""Sessions of one model with different prompts."""

from collections import OrderedDict

from code_model.language_model import LanguageModel, Session
from prompts.file import PromptFile

MAX_SESSIONS = 3
"""Sessions that keep their KV caches: a few documents with different prompts, used in turn."""


class SessionPool:
    """The most recently used sessions, by prompt. One thread at a time."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._sessions: OrderedDict[str | None, Session] = OrderedDict()

    def session(self, prompt: PromptFile | None) -> Session:
        """The session with a prompt, None for the bare model.

        Raises `prompts.errors.IncompatiblePrompt`.
        """
        key = None if prompt is None else prompt.sha256
        session = self._sessions.get(key)
        if session is None:
            while len(self._sessions) >= MAX_SESSIONS:  # before another one takes memory
                self._sessions.popitem(last=False)
            session = self._sessions[key] = self.model.open(prompt)
        self._sessions.move_to_end(key)
        return session
