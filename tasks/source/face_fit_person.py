"""What does not change in a person's face: shape and albedo, in coefficients of the face model."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.face_fit import deep3d
from models.face_fit.coefficients import MOVING, Coefficients
from models.face_fit.photometric import Target, first_light, fit
from models.face_fit.settings import FitSettings
from models.sampling.rows import spread
from models.speech_to_lips.neutral import CLOSED_FRACTION, opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.stage import Made, stage
from tasks.inference.threads import one_thread
from tasks.source.fitting import FittedFrames, FittedModel, basis_facts, colors, model_of

PERSON_ARRAYS = {
    "alpha": ArraySpec(("component",), "float32", "standard deviations", "identity"),
    "beta": ArraySpec(("component",), "float32", "standard deviations", "albedo"),
}
FACE_FIT_PERSON = Schema(
    "face_fit_person",
    PERSON_ARRAYS,
    {"component": 80},
    "The person of a video in AudioDVP's face model; zeros where no face is seen.",
)


@stage(FACE_FIT_PERSON, version=1)
def face_fit_person(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    landmarks68: Artifact | None = None,
    regressed: Artifact | None = None,
    basis: Artifact | str,
    settings: FitSettings,
) -> Made:
    """Fit shape to frames with a closed mouth; then shape and albedo to pictures from all over.

    Args:
        landmarks68: Points of FAN; None takes those of the mesh.
        regressed: What Deep3D's regressor says, in whose mode this is taken.
        basis: `own_basis_key()`, so that the result follows the basis; or a `published_basis`.
    """
    one_thread()
    seen = FittedFrames(video, timeline, landmarks, landmarks68, settings)
    facts = basis_facts(basis, settings.mode)
    rows = np.flatnonzero(seen.valid)
    person = Coefficients.nobody()
    if len(rows) and regressed is not None:
        said = regressed.read_rows("coefficients", spread(rows, settings.person_frames))
        person = deep3d.person(torch.from_numpy(said))
    elif len(rows):
        model, gap = model_of(facts), opening(landmarks.read("mouth")[rows])
        closed = rows[np.sort(np.argsort(gap, kind="stable")[: max(1, _share(len(rows)))])]
        neutral = spread(closed, settings.person_frames)
        mesh, points = seen.shape(model, neutral)
        person = replace(person, alpha=mesh.person(points, seen.rotation(neutral)))
        if settings.mode == "photometric":
            person = _with_pictures(
                seen, model, person, spread(rows, settings.person_frames), settings
            )
    return Made({"alpha": person.alpha.numpy(), "beta": person.beta.numpy()}, facts)


def _with_pictures(
    seen: FittedFrames,
    fitted: FittedModel,
    person: Coefficients,
    rows: NDArray[np.int64],
    settings: FitSettings,
) -> Coefficients:
    model, apart = fitted.model, torch.zeros(len(rows), dtype=torch.bool)
    target = Target(colors(seen.pictures(rows)), seen.landmarks(rows), apart)
    mesh, points = seen.shape(fitted, rows)
    start = person.of(mesh.frames(points, seen.rotation(rows), person.alpha))
    start = replace(start, gamma=first_light(model, start, target.pictures))
    steps = settings.person_iterations
    return fit(model, target, start, iterations=steps, free=MOVING | {"alpha", "beta"})


def _share(frames: int) -> int:
    return round(CLOSED_FRACTION * frames)
