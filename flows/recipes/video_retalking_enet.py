"""`video_retalking.enet`: VideoReTalking's E-Net, from L-Net's small faces to sharp ones."""

from dataclasses import replace

from flows.recipes import RecipeSpec
from flows.training.face_windows import open_face_windows
from flows.training.job import Job
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from stores.errors import MissingWeights
from tasks.engine.open_run import open_run
from tasks.methods.restored_crops import restored_crops
from tasks.methods.vrt_enhanced import Enhancing
from tasks.training.recipe import Data
from tasks.training.video_retalking_enet import ENetRecipe, ENetSettings
from tasks.weights.networks import weights_of

_NETWORKS = {
    "gpen": ("gpen_bfr_512", "gpen_bfr_512"),
    "gfpgan": ("gfpgan_v1.3", "gfpgan_v1clean_512"),
}
"""Weights that restore faces, and what they are of."""


def open_faces(job: Job) -> Data:
    """Windows of faces, restored here first if the settings say so; those that judge, too.

    Raises:
        MissingWeights: of the network that restores them.
        InputError, SettingsError: as of `open_index`.
    """
    settings = job.settings
    assert isinstance(settings, ENetSettings)
    enhancer, store = settings.restore_targets, Store(job.store)
    if enhancer == "none":
        return open_face_windows(job, scattered=True)
    with open_run(store):
        weights, parser = _weights(enhancer)

        def restored(part: ClipPart) -> ClipPart:
            crops, landmarks = (store.get(n, part.keys[n]) for n in ("face_crops", "landmarks"))
            networks = {"weights": weights, "parser": parser}
            made = restored_crops(crops, landmarks, enhancer=enhancer, **networks)
            return replace(part, keys={**part.keys, "face_crops": made.key})

        return open_face_windows(job, scattered=True, changed=restored)


def _weights(enhancer: Enhancing) -> tuple[Artifact, Artifact]:
    try:
        return weights_of(*_NETWORKS[enhancer]), weights_of("parsenet", "parsenet")
    except MissingWeights as error:
        raise MissingWeights(f"{error}; or set restore_targets=none") from None


RECIPE = RecipeSpec(ENetSettings, open_faces, ENetRecipe)
