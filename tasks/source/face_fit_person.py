"""What does not change in a person's face: shape and albedo, in coefficients of the face model."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.face_fit.coefficients import MOVING, Coefficients
from models.face_fit.photometric import Target, first_light, fit
from models.face_fit.settings import FitSettings
from models.speech_to_lips.neutral import CLOSED_FRACTION, opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.inference.threads import one_thread
from tasks.source.fitting import FittedFrames, colors, fitted_model, mesh_fit

FACE_FIT_PERSON = Schema(
    "face_fit_person",
    {
        "alpha": ArraySpec(("component",), "float32", "standard deviations", "identity"),
        "beta": ArraySpec(("component",), "float32", "standard deviations", "albedo"),
    },
    {"component": 80},
    "The person of a video in AudioDVP's face model; zeros where no face is seen.",
)


@stage(FACE_FIT_PERSON, version=1)
def face_fit_person(
    video: Source, timeline: Artifact, *, landmarks: Artifact, basis: str, settings: FitSettings
) -> Made:
    """Fit shape to frames with a closed mouth; then shape and albedo to pictures from all over.

    Args:
        basis: `own_basis_key()`, so that the result follows the basis.
    """
    one_thread()
    seen = FittedFrames(video, timeline, landmarks, settings)
    facts = {"basis": "own", "basis_key": basis, "mode": settings.mode}
    rows = np.flatnonzero(seen.valid)
    person = Coefficients.nobody()
    if len(rows):
        gap = opening(landmarks.read("mouth")[rows])
        closed = rows[np.sort(np.argsort(gap, kind="stable")[: max(1, _share(len(rows)))])]
        neutral = _spread(closed, settings.person_frames)
        alpha = mesh_fit().person(seen.points(neutral), seen.rotation(neutral))
        person = replace(person, alpha=alpha)
        if settings.mode == "photometric":
            person = _with_pictures(seen, person, _spread(rows, settings.person_frames), settings)
    return Made({"alpha": person.alpha.numpy(), "beta": person.beta.numpy()}, facts)


def _with_pictures(
    seen: FittedFrames, person: Coefficients, rows: NDArray[np.int64], settings: FitSettings
) -> Coefficients:
    points, apart = seen.points(rows), torch.zeros(len(rows), dtype=torch.bool)
    target = Target(colors(seen.pictures(rows)), points[:, fitted_model().landmarks], apart)
    placed = mesh_fit().frames(points, seen.rotation(rows), person.alpha)
    start = person.of(placed)
    start = replace(start, gamma=first_light(fitted_model(), start, target.pictures))
    return fit(
        fitted_model(),
        target,
        start,
        iterations=settings.person_iterations,
        free=MOVING | {"alpha", "beta"},
    )


def _share(frames: int) -> int:
    return round(CLOSED_FRACTION * frames)


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]
