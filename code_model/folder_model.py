"""What a model folder says of a model, whichever engine computes it."""

from dataclasses import dataclass
from pathlib import Path

from code_model.fim import FimEncoder
from code_model.model_folder import ModelFolder
from code_model.show_thresholds import ShowThresholds
from code_model.tokenizer import Tokenizer
from prompts.manifest import ModelIdentity


@dataclass(frozen=True, eq=False)
class FolderModel:
    """The part of a `LanguageModel` that its folder decides."""

    files: ModelFolder
    identity: ModelIdentity

    @property
    def name(self) -> str:
        """See `LanguageModel`."""
        return self.files.name

    @property
    def folder(self) -> Path:
        """See `LanguageModel`."""
        return self.files.path

    @property
    def tokenizer(self) -> Tokenizer:
        """See `LanguageModel`."""
        return self.files.tokenizer

    @property
    def encoder(self) -> FimEncoder:
        """See `LanguageModel`."""
        return self.files.encoder

    @property
    def show_thresholds(self) -> ShowThresholds:
        """See `LanguageModel`."""
        return self.files.show_thresholds
