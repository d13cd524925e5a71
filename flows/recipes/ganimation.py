"""`ganimation`: faces with given action units, for VideoReTalking's upper face."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.recipes import RecipeSpec
from flows.training.index_data import open_parts, seen_clip
from flows.training.job import Job
from flows.training.openface import openface_units
from models.ganimation.action_units import action_units, face_measures
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from tasks.engine.open_run import open_run
from tasks.methods.ganimation_faces import ganimation_faces
from tasks.source.landmarks import mean_face
from tasks.training.ganimation import GANimationRecipe, GANimationSettings
from tasks.training.recipe import Data
from tasks.training.unit_faces import UnitFaces, UnitPart

Floats = NDArray[np.float32]
_Parts = Sequence[tuple[ClipPart, Artifact]]


def open_faces(job: Job) -> Data:
    """Faces of the clips of an index, which are cut here first, and their action units.

    Raises:
        InputError: a clip is not there any more, or another one; or OpenFace's CSV of a clip is
            missing or does not fit it.
    """
    settings = job.settings
    assert isinstance(settings, GANimationSettings)
    store = Store(job.store)

    @cache
    def faces(digest: str, path: Path, timeline: str, landmarks: str) -> Artifact:
        seen = seen_clip(store, digest, path, timeline=timeline, landmarks=landmarks)
        return ganimation_faces(seen, side=settings.size.side)

    def cut(parts: Sequence[ClipPart], judged: bool) -> UnitFaces:
        kept = [
            (p, faces(p.digest, p.path, p.keys["timeline"], p.keys["landmarks"])) for p in parts
        ]
        folder = settings.openface
        found = (
            _mesh_parts(kept, settings.rest) if folder is None else _openface_parts(kept, folder)
        )
        stride = settings.judged_stride if judged else settings.stride
        return UnitFaces(found, job.store, stride=stride)

    facts = {"action_units": settings.rest if settings.openface is None else "openface"}
    with open_run(store):
        return open_parts(job, cut, facts)


def _mesh_parts(parts: _Parts, relative_to: str) -> list[UnitPart]:
    """Units relative to each person's median over all parts, or to the mean face."""
    measured: dict[str, list[Floats]] = defaultdict(list)
    for part, faces in parts:
        valid = faces.read("valid", part.start, part.stop)
        measured[part.person].append(faces.read("measures", part.start, part.stop)[valid])
    (mean,) = face_measures(mean_face()[None])
    rest = {
        person: _median(np.concatenate(found)) if relative_to == "person" else mean
        for person, found in measured.items()
    }
    return [
        _unit_part(p, f, action_units(f.read("measures", p.start, p.stop), rest[p.person]))
        for p, f in parts
    ]


def _median(measures: Floats) -> Floats:
    return np.median(measures, axis=0) if len(measures) else np.ones(measures.shape[1], np.float32)


def _openface_parts(parts: _Parts, folder: Path) -> list[UnitPart]:
    found = []
    for part, faces in parts:
        path = folder / f"{part.path.stem}.csv"
        units, known = openface_units(path, frames=faces.sizes["frame"])
        rows = slice(part.start, part.stop)
        found.append(_unit_part(part, faces, units[rows], known[rows]))
    return found


def _unit_part(
    part: ClipPart, faces: Artifact, units: Floats, known: NDArray[np.bool_] | bool = True
) -> UnitPart:
    valid = faces.read("valid", part.start, part.stop) & known
    return UnitPart(part.row, faces.key, part.start, part.stop, valid, units)


RECIPE = RecipeSpec(GANimationSettings, open_faces, GANimationRecipe)
