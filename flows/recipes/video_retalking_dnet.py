"""`video_retalking.dnet`: VideoReTalking's first network, from a face to the same with another
expression and pose."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flows.recipes import RecipeSpec
from flows.training.index_data import open_parts, seen_clip
from flows.training.job import Job
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from tasks.engine.open_run import open_run
from tasks.methods.vrt_coefficients import face_numbers
from tasks.source.face_basis import own_basis_key
from tasks.training.face_pairs import FacePairs, FacePart
from tasks.training.recipe import Data
from tasks.training.video_retalking_dnet import DNetRecipe, DNetSettings


def open_faces(job: Job) -> Data:
    """Pairs of faces of the clips of an index, which are cut and read here first.

    Raises:
        InputError: a clip is not there any more, or another one.
        MissingWeights: coefficients are of Deep3D's network, and its weights are missing.
    """
    settings = job.settings
    assert isinstance(settings, DNetSettings)
    store = Store(job.store)

    @cache
    def read(digest: str, path: Path, timeline: str, landmarks: str) -> tuple[str, str]:
        seen = seen_clip(store, digest, path, timeline=timeline, landmarks=landmarks)
        cut, numbers = face_numbers(seen, driver=settings.coefficients)
        return cut.key, numbers.key

    def cut(parts: Sequence[ClipPart], judged: bool) -> FacePairs:
        faces = []
        for part in parts:
            keys = part.keys["timeline"], part.keys["landmarks"]
            made = read(part.digest, part.path, *keys)
            faces.append(FacePart(part.row, *made, keys[0], part.start, part.stop))
        stride = settings.judged_stride if judged else settings.stride
        return FacePairs(faces, job.store, side=settings.size.side, stride=stride)

    facts: dict[str, Any] = {"coefficients": settings.coefficients}
    if settings.coefficients == "mesh":
        facts["basis"] = {"name": "own", "key": own_basis_key()}
    with open_run(store):
        return open_parts(job, cut, facts)


RECIPE = RecipeSpec(DNetSettings, open_faces, DNetRecipe)
