"""How the learning rate goes over the steps."""

import math

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """Constant as published, unless told otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rise_steps: int = Field(0, ge=0, description="steps in which the rate rises from 0")
    stay_steps: int = Field(0, ge=0, description="steps after that in which it stays")
    fall_steps: int | None = Field(
        None, ge=1, description="step at which the rate has fallen to its end; none: it stays"
    )
    end: float = Field(0.02, ge=0, le=1, description="share of the rate that is left then")
    at_once: bool = Field(False, description="it stays until then, and falls in one step")

    def factor(self, step: int) -> float:
        """Of the learning rate, at a step counted from 0."""
        if step < self.rise_steps:
            return (step + 1) / self.rise_steps
        if self.fall_steps is None or (self.at_once and step < self.fall_steps):
            return 1.0
        begin = self.rise_steps + self.stay_steps
        done = max(step - begin, 0) / max(self.fall_steps - begin, 1)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
