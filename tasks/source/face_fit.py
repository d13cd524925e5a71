"""Expression, light and pose of a person's face in every frame, as coefficients of a face model."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.deep3d.geometry import euler_rotation
from models.face_fit.coefficients import MOVING, Coefficients
from models.face_fit.mesh import Placed
from models.face_fit.photometric import (
    SIDE,
    Target,
    first_light,
    fit,
    landmark_error,
    photo_error,
)
from models.face_fit.settings import FitSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import SettingsError
from tasks.engine.stage import Arrays, Blocks, Plan, Shard, stage
from tasks.inference.threads import one_thread
from tasks.source.fitting import FittedFrames, colors, fitted_model, mesh_fit
from tasks.source.pictures import PIXEL_SHARD, TRANSFORM, marks, pictures


def _array(dim: str, units: str, doc: str) -> ArraySpec:
    return ArraySpec(("frame", dim), "float32", units, doc, shard=PIXEL_SHARD)


def _number(units: str, doc: str) -> ArraySpec:
    return ArraySpec(("frame",), "float32", units, doc, shard=PIXEL_SHARD)


FACE_FIT = Schema(
    "face_fit",
    {
        "delta": _array("expression", "standard deviations", "expression"),
        "gamma": _array("light", "", "light, coefficient major, without the ambient part"),
        "rotation": _array("axis", "rad", "about x, y and z"),
        "translation": _array("axis", "", "taken off before the rotation, in AudioDVP's unit"),
        "transform": TRANSFORM,
        "landmark_error": _number("px", "of 256: mean distance of the 68 points"),
        "photo_error": _number("", "root mean square over the face, RGB in 0..1; NaN in mesh mode"),
        "valid": marks("there is a face, and the model fits it"),
        "picture": pictures(
            *("y", "x", "rgb"),
            doc="RGB 0..255, what was fitted to; zeros where invalid, and in mesh mode",
        ),
    },
    {
        **{"expression": 64, "light": 27, "axis": 3, "row": 2, "column": 3},
        **{"y": SIDE, "x": SIDE, "rgb": 3},
    },
    "A face in AudioDVP's model, whose camera sees 256 px; zeros where invalid.",
)

MAX_ERROR_PX = 8.0
"""A face whose landmarks are further off [px of 256] is not what is in the picture."""
_MARGIN_FRAMES = 4
"""Frames fitted on either side of a shard, so that coefficients are steady across its border."""


def _plan(person: Artifact, frozen: Artifact | None, timeline: Artifact) -> Plan:
    if frozen is not None and frozen.sizes["frame"] != timeline.sizes["frame"]:
        raise SettingsError(
            f"the fit to take light and pose from has {frozen.sizes['frame']} frames, the video "
            f"{timeline.sizes['frame']}: give the fit of the same frames"
        )
    return Plan(attributes=dict(person.attributes))


@stage(FACE_FIT, version=1, rows="timeline", plan=_plan)
def face_fit(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    person: Artifact,
    frozen: Artifact | None,
    settings: FitSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Fit every frame that shows the face: to its landmarks, and from there to its picture.

    Args:
        person: Of `face_fit_person`.
        frozen: A fit of the same frames: light, pose and squares are taken from it, and the
            expression alone is fitted. None fits all.

    Raises:
        SettingsError: `frozen` has other frames.
    """
    one_thread()
    seen = FittedFrames(video, timeline, landmarks, settings, frozen)
    alpha, beta = (torch.from_numpy(person.read(name)) for name in ("alpha", "beta"))
    who = replace(Coefficients.nobody(), alpha=alpha, beta=beta)
    for shard in shards:
        near = slice(max(0, shard.start - _MARGIN_FRAMES), shard.stop + _MARGIN_FRAMES)
        rows = np.flatnonzero(seen.valid[near]) + near.start
        yield _filled(shard, rows, _fitted(seen, who, rows, frozen, settings), seen.transforms)


def _fitted(
    seen: FittedFrames,
    who: Coefficients,
    rows: NDArray[np.int64],
    frozen: Artifact | None,
    settings: FitSettings,
) -> Arrays:
    """Arrays of the schema, but for `transform` and `valid`, in ascending rows."""
    if not len(rows):
        return {}
    points, model = seen.points(rows), fitted_model()
    if frozen is None:
        start, free = who.of(mesh_fit().frames(points, seen.rotation(rows), who.alpha)), MOVING
    else:
        start, free = _thawed(frozen, who, rows, points), frozenset({"delta"})
    landmarks = points[:, model.landmarks]
    crops = np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)
    photo = torch.full((len(rows),), torch.nan)
    found = start
    if settings.mode == "photometric":
        crops = seen.pictures(rows)
        target = Target(colors(crops), landmarks, seen.linked(rows))
        if frozen is None:
            start = replace(start, gamma=first_light(model, start, target.pictures))
        steps, steady = settings.iterations, settings.temporal
        found = fit(model, target, start, iterations=steps, free=free, temporal=steady)
        photo = photo_error(model, found, target.pictures)
    return {name: getattr(found, name).numpy() for name in sorted(MOVING)} | {
        "landmark_error": landmark_error(model, found, landmarks).numpy(),
        "photo_error": photo.numpy(),
        "picture": crops,
    }


def _thawed(
    frozen: Artifact, who: Coefficients, rows: NDArray[np.int64], points: torch.Tensor
) -> Coefficients:
    """Light and pose of another fit, with the expression that the points ask for."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    gamma, rotation, translation = (
        torch.from_numpy(frozen.read(name, first, last)[rows - first])
        for name in ("gamma", "rotation", "translation")
    )
    placed = Placed(euler_rotation(rotation), translation, torch.zeros(len(rows), 64))
    delta = mesh_fit().expression(points, placed, who.alpha)
    return replace(who, delta=delta, gamma=gamma, rotation=rotation, translation=translation)


def _filled(
    shard: Shard, rows: NDArray[np.int64], fitted: Arrays, transforms: NDArray[np.float32]
) -> Arrays:
    """The shard's rows; zeros where nothing was fitted, or the model does not fit."""
    sizes = {**FACE_FIT.sizes, "frame": shard.stop - shard.start}
    out = {
        name: np.zeros(FACE_FIT.shape(name, sizes), spec.dtype)
        for name, spec in FACE_FIT.arrays.items()
    }
    if fitted:
        inside = (rows >= shard.start) & (rows < shard.stop)
        inside &= fitted["landmark_error"] <= MAX_ERROR_PX  # false for NaN
        at = rows[inside] - shard.start
        for name, values in fitted.items():
            out[name][at] = values[inside]
        out["transform"][at] = transforms[rows[inside]]
        out["valid"][at] = True
    return out
