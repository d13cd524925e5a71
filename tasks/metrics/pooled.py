"""Features of frames, pooled over all clips of a system and compared as two distributions."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made

AREAS = ("full", "face")

FEWEST = 2
"""Frames that a covariance takes."""


def features_schema(kind: str, size: int, doc: str) -> Schema:
    """Of features of some frames of one video."""
    arrays = {
        area: ArraySpec((f"{area}_sample", "feature"), "float32", "", f"of {area}s", shard=256)
        for area in AREAS
    }
    return Schema(kind, arrays, {"feature": size}, doc)


def both_schema(kind: str, size: int, doc: str) -> Schema:
    """Of the features of a result and of its reference."""
    arrays = {
        f"{side}_{area}": ArraySpec(
            (f"{side}_{area}_sample", "feature"), "float32", "", f"{area}s of the {side}", shard=256
        )
        for side in ("result", "reference")
        for area in AREAS
    }
    return Schema(kind, arrays, {"feature": size}, doc)


def beside(result: Artifact, reference: Artifact) -> Made:
    """Both videos' features in one artifact."""
    sides = {"result": result, "reference": reference}
    arrays = {f"{side}_{area}": sides[side].read(area) for side in sides for area in AREAS}
    frames = {name: len(array) for name, array in arrays.items()}
    return Made(arrays, {"values": {}, "reasons": {}, "frames": frames})


def frechet_distances(artifacts: Sequence[Artifact], names: Mapping[str, str]) -> dict[str, float]:
    """Fréchet distance of all results' features to all references', where there are enough.

    Args:
        artifacts: Of `beside`.
        names: Area → metric.
    """
    from models.metrics.fid import distance_of_features

    values = {}
    for area, name in names.items():
        sides = [_all(artifacts, f"{side}_{area}") for side in ("result", "reference")]
        if min(map(len, sides)) >= FEWEST:
            values[name] = max(distance_of_features(*sides), 0.0)  # rounding may leave less
    return values


def _all(artifacts: Sequence[Artifact], name: str) -> NDArray[np.float32]:
    parts = [artifact.read(name) for artifact in artifacts]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
