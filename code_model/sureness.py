"""The steps of how sure a suggestion must be. This module imports nothing heavy."""

from typing import Literal

Sureness = Literal["eager", "balanced", "sure"]
