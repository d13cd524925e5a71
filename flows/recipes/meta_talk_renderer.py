"""`meta_talk.renderer`: Meta Talk's neural face renderer, from one person's `meta_talk_faces`."""

from collections.abc import Iterator

from flows.recipes import RecipeSpec
from flows.training.job import Job
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from tasks.methods.meta_talk_faces import META_TALK_FACES
from tasks.training.face_frames import FaceFrames, FrameLoader, held_out
from tasks.training.held_out import SHARE
from tasks.training.meta_talk_renderer import NeuralRendererRecipe, NeuralRendererSettings
from tasks.training.recipe import Data, Sample


def open_faces(job: Job) -> Data:
    """Frames of a person; the last fifth of the time is for validation.

    Raises:
        InputError: the job's data is not `meta_talk_faces/KEY`, or it has no frame to train on.
    """
    assert isinstance(job.settings, NeuralRendererSettings)
    settings, trainer, faces = job.settings, job.trainer, _faces(job)
    if settings.size.input == "render_and_exemplar" and "lent" not in faces.manifest.inputs:
        raise InputError(
            f"{job.index} has no borrowed mouths: set size.input=render, or make it with them"
        )
    frames = FaceFrames(faces, settings.size.window)

    def training(rank: int, world: int) -> FrameLoader:
        try:
            return FrameLoader(
                frames, batch_size=trainer.part_size, seed=trainer.seed, rank=rank, world=world
            )
        except ValueError as error:
            raise SettingsError(f"{job.index}: {error}") from None

    def validation() -> Iterator[Sample]:
        return held_out(frames, batch_size=trainer.part_size, stride=settings.judged_stride)

    told, judged = faces.attributes, len(frames.held_out) > 0
    facts = {
        "artifact": f"{faces.kind}/{faces.key}",
        "dataset": "one person",
        "held_out": SHARE,
        "person": told["person"],
        "basis": {"name": told["basis"], "key": told["basis_key"]},
        "faces": {name: told[name] for name in ("side_px", "zoom", "opened")},
        "splits": {
            "train": frames.told(frames.training),
            "validation": frames.told(frames.held_out) if judged else None,
        },
    }
    return Data(training, validation if judged else None, facts, frames.key)


def _faces(job: Job) -> Artifact:
    name = job.index.as_posix()
    kind = META_TALK_FACES.kind
    if not name.startswith(f"{kind}/"):
        raise InputError(f"{job.recipe} learns from an artifact: give {kind}/KEY, not {name}")
    return Store(job.store).match(name)


RECIPE = RecipeSpec(
    settings=NeuralRendererSettings,
    open=open_faces,
    make=lambda settings, store: NeuralRendererRecipe(settings),
    clips=False,
)
