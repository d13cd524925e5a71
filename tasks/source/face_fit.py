"""Expression, light and pose of a person's face in every frame, as coefficients of a face model."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from models.deep3d.geometry import euler_rotation
from models.face_fit.coefficients import MOVING, Coefficients
from models.face_fit.crop import between
from models.face_fit.deep3d import Converter
from models.face_fit.mesh import Placed
from models.face_fit.network import of_network
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
from tasks.source.face_basis import named_basis
from tasks.source.fitting import FittedFrames, colors, model_of
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
    landmarks68: Artifact | None = None,
    person: Artifact,
    regressed: Artifact | None = None,
    frozen: Artifact | None,
    settings: FitSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Fit every frame that shows the face: to its landmarks, and from there to its picture.

    Args:
        landmarks68: Points of FAN; None takes those of the mesh.
        person: Of `face_fit_person`, or of `face_fit_network`.
        regressed: What a network says of each frame: this is taken.
        frozen: A fit of the same frames: light, pose and squares are taken from it, and the
            expression alone is fitted. None fits all.

    Raises:
        SettingsError: `frozen` has other frames.
    """
    one_thread()
    seen = FittedFrames(video, timeline, landmarks, landmarks68, settings, frozen)
    fit_rows = _Fit(seen, person, regressed, frozen, settings)
    for shard in shards:
        near = slice(max(0, shard.start - _MARGIN_FRAMES), shard.stop + _MARGIN_FRAMES)
        rows = np.flatnonzero(seen.valid[near]) + near.start
        yield _filled(shard, rows, fit_rows(rows) if len(rows) else {}, seen.transforms)


class _Fit:
    """The fit of one person's frames; arguments as of the stage."""

    def __init__(
        self,
        seen: FittedFrames,
        person: Artifact,
        regressed: Artifact | None,
        frozen: Artifact | None,
        settings: FitSettings,
    ) -> None:
        self._seen, self._settings = seen, settings
        self._regressed, self._frozen = regressed, frozen
        self._fitted, self._basis_key = model_of(person.attributes), person.attributes["basis_key"]
        alpha, beta = (torch.from_numpy(person.read(name)) for name in ("alpha", "beta"))
        self._who = replace(Coefficients.nobody(), alpha=alpha, beta=beta)

    def __call__(self, rows: NDArray[np.int64]) -> Arrays:
        """Arrays of the schema, but for `transform` and `valid`, in ascending rows."""
        landmarks, model = self._seen.landmarks(rows), self._fitted.model
        crops = np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)
        photo = torch.full((len(rows),), torch.nan)
        found = self._start(rows)
        if self._settings.mode != "mesh":
            crops = self._seen.pictures(rows)
            target = Target(colors(crops), landmarks, self._seen.linked(rows))
            if self._regressed is None:
                found = self._nearer(found, target)
            photo = photo_error(model, found, target.pictures)
        return {name: getattr(found, name).numpy() for name in sorted(MOVING)} | {
            "landmark_error": landmark_error(model, found, landmarks).numpy(),
            "photo_error": photo.numpy(),
            "picture": crops,
        }

    def _start(self, rows: NDArray[np.int64]) -> Coefficients:
        """What is known without the pictures."""
        who = self._who
        if self._regressed is not None:
            return self._said(self._regressed, rows)
        mesh, points = self._seen.shape(self._fitted, rows)
        if self._frozen is None:
            return who.of(mesh.frames(points, self._seen.rotation(rows), who.alpha))
        gamma, rotation, translation = (
            torch.from_numpy(self._frozen.read_rows(name, rows))
            for name in ("gamma", "rotation", "translation")
        )
        placed = Placed(euler_rotation(rotation), translation, torch.zeros(len(rows), 64))
        delta = mesh.expression(points, placed, who.alpha)
        return replace(who, delta=delta, gamma=gamma, rotation=rotation, translation=translation)

    def _nearer(self, start: Coefficients, target: Target) -> Coefficients:
        """Nearer to the pictures."""
        model, settings = self._fitted.model, self._settings
        free = frozenset({"delta"})
        if self._frozen is None:
            start, free = replace(start, gamma=first_light(model, start, target.pictures)), MOVING
        steps, steady = settings.iterations, settings.temporal
        return fit(model, target, start, iterations=steps, free=free, temporal=steady)

    def _said(self, regressed: Artifact, rows: NDArray[np.int64]) -> Coefficients:
        """What a network says."""
        given = torch.from_numpy(regressed.read_rows("coefficients", rows))
        if self._fitted.name != "deep3d":
            return of_network(given, self._who.alpha, self._who.beta)
        square = between(regressed.read_rows("transform", rows), self._seen.transforms[rows])
        return self._deep3d(given, torch.from_numpy(square), self._who)

    @cached_property
    def _deep3d(self) -> Converter:
        basis = named_basis(self._fitted.name, self._basis_key)
        return Converter(basis, self._fitted.by_landmarks)


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
