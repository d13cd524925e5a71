"""Telling faces apart by dlib's recognition network, which optional packages carry."""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGE = "face_recognition_models"
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"

FEATURES = 128
"""Length of a descriptor."""

SIZE = 150
"""Side of the faces that the network takes [px]."""

_PADDING = 0.25
_POINTS = (263, 362, 33, 133, 2)
"""Mesh points: outer and inner corner of the subject's left eye, of the right eye, nose base."""
_MEAN_POINTS = np.array(
    [[0.8596, 0.2135], [0.6461, 0.2290], [0.1206, 0.2137], [0.3341, 0.2291], [0.4901, 0.6278]]
)
"""Where dlib wants them, in a face of side 1 that `_PADDING` surrounds."""


def installed() -> bool:
    """Whether the network and its weights are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("dlib", PACKAGE))


def transform(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frame px → px of dlib's aligned face (2, 3) float32, pixel centres on integers + 0.5.

    Args:
        mesh: (478, 3) [px].
    """
    from models.faces.recognition.alignment import similarity  # torch takes seconds

    target = (_MEAN_POINTS + _PADDING) / (1 + 2 * _PADDING) * SIZE + 0.5
    return np.asarray(similarity(mesh[list(_POINTS), :2], target), np.float32)


def describe(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Descriptors (n, 128) of aligned faces (n, 150, 150, 3) uint8 RGB."""
    found = _network().compute_face_descriptor(list(faces), num_jitters=0)
    return np.array([list(each) for each in found], np.float32)


@cache
def _network() -> Any:
    dlib = importlib.import_module("dlib")
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.origin is not None
    return dlib.face_recognition_model_v1(str(Path(found.origin).parent / "models" / WEIGHTS))
