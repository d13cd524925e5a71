"""What a network reads off each face: AudioDVP's, trained on this person, or Deep3D's."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audiodvp.regressor import GROUPS, FaceRegressor
from models.deep3d.alignment import CROP_SIZE
from models.deep3d.face_model import N_COEFFICIENTS
from models.face_fit.deep3d import aligned
from models.face_fit.network import unpack
from models.face_fit.settings import FitSettings
from models.tensors import ImageBytes
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.run import current_devices
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.inference.runner import Runner
from tasks.inference.shared import network_runner, shared_runner
from tasks.source.face_fit_network import FACE_FIT_NETWORK, SIDE
from tasks.source.fitting import FittedFrames
from tasks.source.pictures import PIXEL_SHARD, TRANSFORM, marks
from tasks.source.squares import through_network
from tasks.source.timeline import load_timeline

REGRESSED = Schema(
    "regressed",
    {
        "coefficients": ArraySpec(
            ("frame", "coefficient"),
            "float32",
            doc="as the network gives them; zeros where invalid",
            shard=PIXEL_SHARD,
        ),
        "transform": TRANSFORM,
        "valid": marks("a face is seen"),
    },
    {"row": 2, "column": 3},
    "Faces in numbers, and the squares that the network saw them in.",
)


def _plan(network: Artifact) -> Plan:
    own = network.kind == FACE_FIT_NETWORK.kind
    return Plan(sizes={"coefficient": sum(GROUPS.values()) if own else N_COEFFICIENTS})


@stage(REGRESSED, version=1, rows="timeline", plan=_plan, network=True)
def regressed(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    landmarks68: Artifact | None,
    network: Artifact,
    settings: FitSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Run the network over the squares that it was made for.

    Args:
        landmarks68: Points of FAN; None takes those of the mesh.
        network: A `face_fit_network`, or the weights of Deep3D's regressor.
    """
    seen = FittedFrames(video, timeline, landmarks, landmarks68, settings)
    own = network.kind == FACE_FIT_NETWORK.kind
    side = SIDE if own else CROP_SIZE
    transforms = _squares(seen, own, shards)
    made = through_network(
        _runner(network) if own else network_runner("regressed", network, RegressorOfBytes),
        video,
        load_timeline(timeline),
        transforms=transforms,
        side=side,
        valid=seen.valid,
        shards=shards,
    )
    for shard, (rows, found) in zip(shards, made, strict=True):
        size = _plan(network).sizes["coefficient"]
        coefficients = np.zeros((shard.stop - shard.start, size), np.float32)
        if found is not None:
            coefficients[rows - shard.start] = found
        yield {
            "coefficients": coefficients,
            "transform": transforms[shard.start : shard.stop],
            "valid": seen.valid[shard.start : shard.stop],
        }


def _squares(seen: FittedFrames, own: bool, shards: Sequence[Shard]) -> NDArray[np.float32]:
    """Frame px → px of the network's squares."""
    if own:
        return seen.transforms
    found = np.zeros_like(seen.transforms)
    for shard in shards:
        rows = np.flatnonzero(seen.valid[shard.start : shard.stop]) + shard.start
        for row, points in zip(rows, seen.frame_landmarks(rows), strict=True):
            found[row] = aligned(points)
    return found


def _runner(trained: Artifact) -> Runner:
    def make() -> Runner:
        network = FaceRegressor()
        unpack(network, torch.from_numpy(trained.read("network")))
        return Runner(RegressorOfBytes(network), current_devices())

    return shared_runner(("regressed", trained.key, current_devices()), make)


class RegressorOfBytes(nn.Module):
    """Squares of 8 bits → coefficients."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, square: ImageBytes) -> Float[Tensor, "batch coefficient"]:
        found: Tensor = self.network(square.permute(0, 3, 1, 2).float() / 255)
        return found
