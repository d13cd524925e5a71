"""A video of a face that is drawn by the face model, and the fit that a perfect stage would find.

A film may have another light and albedo than the fit, so that a network has something to learn.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.audiodvp.face_model import IMAGE_SIZE, FaceModel
from models.rasterizer.interpolation import rasterize
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.source.face_basis import face_basis, own_basis_key
from tasks.source.timeline import timeline
from tests.media_factory import make_video, pattern

CORNER = (40, 24)
"""Of the fit's picture in the frame [px]."""
SIZE = (336, 304)

PERSON = Schema(
    "face_fit_person",
    {
        "alpha": ArraySpec(("identity",), "float32", doc="identity"),
        "beta": ArraySpec(("albedo",), "float32", doc="albedo"),
    },
    {"identity": 80, "albedo": 80},
)
FIT = Schema(
    "face_fit",
    {
        "delta": ArraySpec(("frame", "expression"), "float32", doc="expression"),
        "gamma": ArraySpec(("frame", "light"), "float32", doc="light"),
        "rotation": ArraySpec(("frame", "axis"), "float32", "rad"),
        "translation": ArraySpec(("frame", "axis"), "float32", doc="taken off first"),
        "transform": ArraySpec(("frame", "row", "column"), "float32", "px", "frame to 256"),
        "valid": ArraySpec(("frame",), "bool", doc="there is a fit"),
    },
    {"expression": 64, "light": 27, "axis": 3, "row": 2, "column": 3},
)


class Drawn(NamedTuple):
    """A video and what is known of it."""

    video: Source
    timeline: Artifact
    person: Artifact
    fit: Artifact


def drawn(path: Path, *, frames: int, invalid: int | None = None, lit: float = 0.15) -> Drawn:
    """Film a face that nods and speaks; needs an active run.

    Args:
        invalid: A frame whose fit failed.
        lit: How far light and albedo are not those of the fit.
    """
    draw = partial(_filmed, lit=lit)
    video = Source.of(make_video(path, frames=frames, size=SIZE, draw=draw))
    return Drawn(video, timeline(video), person("own"), fit(frames, invalid=invalid))


@stage(PERSON, version=1)
def person(basis: str) -> Made:
    """Somebody."""
    attributes = {"basis": basis, "basis_key": own_basis_key(), "mode": "drawn"}
    return Made({"alpha": _alpha(), "beta": np.zeros(80, np.float32)}, attributes)


@stage(FIT, version=1)
def fit(frames: int, *, invalid: int | None) -> Made:
    """Coefficients of all frames."""
    arrays = _moving(np.arange(frames))
    arrays["transform"] = np.tile(
        np.array([[1, 0, -CORNER[0]], [0, 1, -CORNER[1]]], np.float32), (frames, 1, 1)
    )
    arrays["valid"] = np.arange(frames) != (-1 if invalid is None else invalid)
    return Made(arrays)


def _alpha() -> NDArray[np.float32]:
    return np.where(np.arange(80) < 5, 0.7, 0).astype(np.float32)


def _moving(frame: NDArray[Any]) -> dict[str, NDArray[Any]]:
    phase = frame[:, None] / 4.0
    found = {
        "delta": np.where(np.arange(64) == 0, -1 - np.sin(3 * phase), 0.2 * np.cos(phase)),
        "gamma": np.zeros((len(frame), 27)),
        "rotation": np.concatenate([0.08 * np.sin(phase), 0.1 * np.cos(phase), 0 * phase], 1),
        "translation": np.concatenate([0.1 * np.sin(phase), 0.05 * np.cos(phase), 0 * phase], 1),
    }
    return {name: array.astype(np.float32) for name, array in found.items()}


@cache
def _model() -> FaceModel:
    return FaceModel(face_basis("own"))


def _filmed(index: int, width: int, height: int, *, lit: float) -> NDArray[np.uint8]:
    """A frame: the face before a pattern."""
    given = {n: torch.from_numpy(a)[..., None] for n, a in _moving(np.array([index])).items()}
    given["gamma"][0, 3:12, 0] = lit
    beta = torch.zeros(1, 80, 1)
    beta[:, :3] = 5 * lit
    alpha = torch.from_numpy(_alpha())[None, :, None]
    with torch.no_grad():
        face = _model()(alpha, beta=beta, **given)
        seen = rasterize(face.clip, _model().triangles, face.color, IMAGE_SIZE)
    levels = (seen.image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    picture = pattern(index, width, height)
    x, y = CORNER
    part = picture[y : y + IMAGE_SIZE, x : x + IMAGE_SIZE]
    part[...] = np.where(seen.mask[0, 0, :, :, None].numpy() > 0, levels, part)
    return picture
