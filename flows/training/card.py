"""The card of a training, as far as other programs read it; `card.json` holds more."""

from pydantic import BaseModel


class WeightsFile(BaseModel):
    """A file of weights that a training wrote."""

    bytes: int
    parameters: int
    sha256: str


class Card(BaseModel):
    """What a training came to.

    Attributes:
        weights: Files by name.
        steps: Optimizer steps in all.
        chosen_step: The step whose weights were kept.
        figures: Of these weights, on validation persons.
    """

    weights: dict[str, WeightsFile]
    steps: int
    chosen_step: int
    figures: dict[str, float]
