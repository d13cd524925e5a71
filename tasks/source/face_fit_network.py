"""AudioDVP's network, trained on one person's video: shape, albedo, and what it has learnt."""

from collections.abc import Callable

import numpy as np
import torch

from models.audiodvp.face_model import FaceModel
from models.audiodvp.regressor import FaceRegressor
from models.face_fit.network import packed, train
from models.face_fit.settings import FitSettings
from models.sampling.rows import spread
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import TrainingError
from tasks.engine.run import current_devices
from tasks.engine.stage import Made, stage
from tasks.inference.device import choose_device
from tasks.inference.threads import all_processors
from tasks.source.face_basis import face_basis
from tasks.source.face_fit_person import PERSON_ARRAYS
from tasks.source.fitting import FittedFrames, basis_facts
from tasks.weights.networks import load_network

SIDE = 256
"""Of the pictures that the network is trained on, as published [px]."""
_LEVELS = 2
"""Of subdivision of the own basis: nearest to the published mesh."""

FACE_FIT_NETWORK = Schema(
    "face_fit_network",
    {
        **PERSON_ARRAYS,
        "network": ArraySpec(
            ("number",),
            "float32",
            doc="all that `models.audiodvp.regressor.FaceRegressor` has learnt",
            chunk=1 << 20,
            shard=1 << 26,
        ),
    },
    {"component": 80},
    "A `face_fit_person` that was trained with a network; zeros where no face is seen.",
)


@stage(FACE_FIT_NETWORK, version=1, network=True)
def face_fit_network(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    landmarks68: Artifact | None,
    basis: Artifact | str,
    weights: Artifact | None,
    settings: FitSettings,
    progress: Callable[[int], None],
) -> Made:
    """Train as published, on the frames of this video.

    Args:
        landmarks68: Points of FAN; None takes those of the mesh.
        basis: As of `face_fit_person`.
        weights: `audiodvp_resnet50_vggface2`; None begins at random.

    Raises:
        TrainingError: the loss is no number any more.
    """
    all_processors()
    facts = basis_facts(basis, settings.mode)
    seen = FittedFrames(video, timeline, landmarks, landmarks68, settings)
    device = choose_device(current_devices().device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FaceRegressor()
    if weights is not None:
        network.backbone = load_network(weights)
    network.to(device)
    rows = spread(np.flatnonzero(seen.valid), settings.network.frames)
    alpha = beta = torch.zeros(80)
    if len(rows):
        try:
            alpha, beta = train(
                network,
                FaceModel(face_basis(facts["basis"], facts["basis_key"], _LEVELS)).to(device),
                torch.from_numpy(seen.pictures(rows, SIDE)),
                seen.landmarks(rows),
                epochs=settings.network.epochs,
                progress=progress,
            )
        except FloatingPointError as error:
            raise TrainingError(
                f"{video.path.name}: {error}; choose fit.mode=photometric"
            ) from None
    learnt = {"alpha": alpha, "beta": beta, "network": packed(network)}
    return Made({name: each.numpy() for name, each in learnt.items()}, facts)
