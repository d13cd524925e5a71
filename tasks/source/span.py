"""A span of a file's time."""

from pydantic import BaseModel, ConfigDict


class Span(BaseModel):
    """From when on, and up to when [s], counted from what the file plays first.

    Attributes:
        start: The first moment.
        stop: The first moment after it; None: to the end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: float = 0.0
    stop: float | None = None
