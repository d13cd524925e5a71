"""What turns the reference person's motion into a given person's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # torch takes seconds to import
    from models.speech_to_lips.network import Size

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Adapter:
    """Affine correction: components x scale + features @ weight + bias.

    Attributes:
        scale: () float32, the person's opening scale.
        weight: (feature, component) float32.
        bias: (component,) float32.
    """

    scale: Array
    weight: Array
    bias: Array

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
            np.float32(scale).reshape(()),
            np.zeros((size.features, size.components), np.float32),
            np.zeros(size.components, np.float32),
        )

    def __call__(self, components: Array, features: Array) -> Array:
        """(tick, component) of the reference person → (tick, component) of this one."""
        adapted = components * self.scale + features @ self.weight + self.bias
        return adapted.astype(np.float32)

    @property
    def is_plain(self) -> bool:
        """Whether only the scale differs from the reference person."""
        return not self.weight.any() and not self.bias.any()

    def to_arrays(self) -> dict[str, Array]:
        """For the store."""
        return {"scale": self.scale, "weight": self.weight, "bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "Adapter":
        """The inverse of `to_arrays`."""
        return cls(arrays["scale"], arrays["weight"], arrays["bias"])
