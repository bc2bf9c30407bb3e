"""How likely a suggestion must be to be shown, in three steps."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from code_model.sureness import Sureness

TARGETS: Mapping[Sureness, float] = {"eager": 0.5, "balanced": 0.7, "sure": 0.85}
"""The share of shown suggestions that are right, which each step is calibrated to."""

LogProbability = Annotated[float, Field(le=0.0, allow_inf_nan=False)]


@dataclass(frozen=True)
class ShowThresholds:
    """Joint log-probabilities (nats) of a suggestion's tokens below which it is not shown."""

    eager: LogProbability
    balanced: LogProbability
    sure: LogProbability

    def at(self, sureness: Sureness) -> float:
        """The threshold of one step."""
        return {"eager": self.eager, "balanced": self.balanced, "sure": self.sure}[sureness]

    @staticmethod
    def from_dict(value: Any) -> "ShowThresholds | None":
        """Read what `to_dict` gave; None for anything else, such as an older file's lack of it."""
        try:
            return _ADAPTER.validate_python(value)
        except ValidationError:
            return None

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


_ADAPTER = TypeAdapter(ShowThresholds)

UNCALIBRATED = ShowThresholds(math.log(0.3), math.log(0.5), math.log(0.75))
"""For a model without calibrated thresholds. With the shipped model 0.3, 0.5 and 0.75 gave 54, 71
and 86 % of right suggestions in three repositories."""
