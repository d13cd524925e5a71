"""Correction of the predicted motion for a given person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from models.arrays import Components, TickFeatures

if TYPE_CHECKING:  # torch takes seconds to import
    from models.speech_to_lips.layout import Size


@dataclass(frozen=True)
class Adapter:
    """Affine correction: components x scale + features @ weight + bias.

    Attributes:
        scale: the person's opening scale, see `neutral.opening_scale`.
        weight: of the network's features.
        bias: added to the components [face heights].
    """

    scale: Float32[np.ndarray, ""]
    weight: Float32[np.ndarray, "feature component"]
    bias: Float32[np.ndarray, " component"]

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[1:]:
            raise ValueError(
                "an adapter needs weight (feature, component) and bias (component,), "
                f"got {self.weight.shape} and {self.bias.shape}"
            )

    @classmethod
    def plain(cls, size: "Size", *, scale: float = 1.0) -> "Adapter":
        """Nothing but the person's opening scale, for a network of that size."""
        return cls(
            np.array(scale, np.float32),
            np.zeros((size.features, size.components), np.float32),
            np.zeros(size.components, np.float32),
        )

    def __call__(self, components: Components, features: TickFeatures) -> Components:
        """Components of this person's motion, from the reference person's."""
        return np.asarray(components * self.scale + features @ self.weight + self.bias, np.float32)

    @property
    def is_plain(self) -> bool:
        """Whether only the scale differs from the reference person."""
        return not self.weight.any() and not self.bias.any()

    def to_arrays(self) -> dict[str, Float32[np.ndarray, "..."]]:
        """The arrays by name, for the store."""
        return {"scale": self.scale, "weight": self.weight, "bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Float32[np.ndarray, "..."]]) -> "Adapter":
        """The inverse of `to_arrays`."""
        return cls(arrays["scale"], arrays["weight"], arrays["bias"])
