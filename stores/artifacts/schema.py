"""What an artifact of one kind holds: declared once, beside the stage that makes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ArraySpec:
    """One array of an artifact.

    Attributes:
        dims: Names of the dimensions, rows first. A size is looked up by this name.
        dtype: NumPy name.
        units: What a value of 1 means; "" for counts, masks and indices.
        doc: What it holds: value range, colour order, origin.
        chunk: Rows read at once.
        shard: Rows written at once, in one file; a multiple of `chunk`.
        ragged: Each shard is an array of its own length (`name/000000`, …), for byte streams.
        jpeg_quality: For 8-bit pictures (row, y, x, rgb) whose last digit does not matter: each row
            is kept as a JPEG of this quality, 1..100, without subsampled colours; 0 keeps arrays.
        step: Values are kept to the nearest multiple of it, a power of two: what is finer is noise,
            which takes most of the room; 0 keeps them as they are.
    """

    dims: tuple[str, ...]
    dtype: str
    units: str = ""
    doc: str = ""
    chunk: int = 16
    shard: int = 256
    ragged: bool = False
    jpeg_quality: int = 0
    step: float = 0.0

    def __post_init__(self) -> None:
        if self.shard % self.chunk:
            raise ValueError(f"shard {self.shard} is not a multiple of chunk {self.chunk}")

    def rounded(self, data: NDArray[Any]) -> NDArray[Any]:
        """Values as they are kept."""
        if not self.step:
            return data
        return np.asarray(np.rint(data / self.step) * self.step, data.dtype)

    @property
    def in_pieces(self) -> bool:
        """Whether each shard is an array of bytes of its own."""
        return self.ragged or self.jpeg_quality > 0


def series(doc: str, units: str = "", dtype: str = "float32", *, dim: str = "frame") -> ArraySpec:
    """Declares a number for each row, kept in long stretches because it is small."""
    return ArraySpec((dim,), dtype, units, doc, chunk=4096, shard=65536)


@dataclass(frozen=True)
class Schema:
    """The arrays of one kind of artifact.

    Attributes:
        kind: Folder name in the store, and the stage's name in reports.
        arrays: Specification by name.
        sizes: Sizes of the dimensions that are the same in every artifact of the kind.
    """

    kind: str
    arrays: Mapping[str, ArraySpec]
    sizes: Mapping[str, int]
    doc: str = ""

    def shape(self, name: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape of one array, from the fixed sizes and those of one artifact."""
        known = {**self.sizes, **sizes}
        return tuple(known[dim] for dim in self.arrays[name].dims)

    def check(self, name: str, array: NDArray[np.generic], sizes: Mapping[str, int]) -> None:
        """Refuse an array whose type or trailing dimensions differ from the specification.

        Raises:
            ValueError: naming the array, what was expected and what came.
        """
        if name not in self.arrays:
            raise ValueError(f"{self.kind} has no array {name!r}; it has {', '.join(self.arrays)}")
        spec = self.arrays[name]
        trailing = array.shape[1:]
        expected = self.shape(name, {**sizes, spec.dims[0]: len(array)})[1:]
        if array.dtype != np.dtype(spec.dtype) or trailing != expected:
            raise ValueError(
                f"{self.kind}.{name} has rows of {spec.dtype} {expected}; "
                f"got {array.dtype} {array.shape}"
            )
