"""`stylegan2.face`: the whole talking face, driven by speech and by video."""

from flows.recipes import RecipeSpec
from flows.training.job import Job
from flows.training.square_data import open_speaking
from tasks.training.recipe import Data
from tasks.training.stylegan2_face import FaceRecipe, FaceSettings


def open_faces(job: Job) -> Data:
    """Windows of an index, with another face of the clip."""
    settings = job.settings
    assert isinstance(settings, FaceSettings)
    classified = settings.classified_frames if settings.disentangle else 0
    return open_speaking(
        job,
        network="face/face.embedding.audio",
        references=1,
        classified=classified,
        by_opening=settings.hidden == "opening",
    )


RECIPE = RecipeSpec(FaceSettings, open_faces, FaceRecipe)
