"""The chosen face's 68 landmarks by FAN, as face-alignment finds them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.faces.landmarks.decode import (
    CROP_SIDE_PX,
    SQUARE_SIDE_PX,
    peaks,
    square_of_box,
    to_frame,
)
from models.faces.tracks import face_boxes
from models.tensors import FeatureMaps, ImageBytes
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.stage import Blocks, Shard, stage
from tasks.inference.shared import network_runner
from tasks.source.pictures import PIXEL_SHARD, marks
from tasks.source.squares import through_network
from tasks.source.timeline import load_timeline

LANDMARKS68 = Schema(
    "landmarks68",
    {
        "landmarks": ArraySpec(
            ("frame", "point", "xy"),
            "float32",
            "px",
            "of the frame, not smoothed; zeros where invalid",
            shard=PIXEL_SHARD,
        ),
        "score": ArraySpec(
            ("frame", "point"), "float32", "", "height of the peak", shard=PIXEL_SHARD
        ),
        "valid": marks("a usable face is seen"),
    },
    {"point": 68, "xy": 2},
    "iBUG's 68 points of the chosen face.",
)


@stage(LANDMARKS68, version=1, rows="timeline", network=True)
def landmarks68(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    weights: Artifact,
    shards: Sequence[Shard],
) -> Blocks:
    """Mark the points in the square that face-alignment cuts about a face's box.

    Args:
        landmarks: Of the mesh, whose extent is the box.
        weights: Of FAN.
    """
    frames, valid = timeline.sizes["frame"], landmarks.read("valid")
    centre, scale = np.zeros((frames, 2)), np.ones(frames)
    for shard in shards:
        rows = slice(shard.start, shard.stop)
        boxes = face_boxes(landmarks.read("landmarks", shard.start, shard.stop))
        centre[rows], scale[rows] = square_of_box(boxes)
    made = through_network(
        network_runner("landmarks68", weights, _Heatmaps),
        video,
        load_timeline(timeline),
        transforms=_transforms(centre, scale),
        side=CROP_SIDE_PX,
        valid=valid,
        shards=shards,
    )
    for shard, (seen, heatmaps) in zip(shards, made, strict=True):
        points = np.zeros((shard.stop - shard.start, 68, 2), np.float32)
        score = np.zeros(points.shape[:2], np.float32)
        if heatmaps is not None:
            found, score[seen - shard.start] = peaks(heatmaps)
            points[seen - shard.start] = to_frame(found, centre[seen], scale[seen])
        inside = valid[shard.start : shard.stop]
        yield {"landmarks": points, "score": score, "valid": inside}


def _transforms(centre: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """Frame px → px of the squares."""
    zoom = CROP_SIDE_PX / (SQUARE_SIDE_PX * np.maximum(scale, 1e-6))
    found = np.zeros((len(scale), 2, 3), np.float32)
    found[:, 0, 0] = found[:, 1, 1] = zoom
    found[:, :, 2] = CROP_SIDE_PX / 2 - zoom[:, None] * centre
    return found


class _Heatmaps(nn.Module):
    """Squares of 8 bits → the last hourglass's heatmaps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, square: ImageBytes) -> FeatureMaps:
        found: FeatureMaps = self.network(square.permute(0, 3, 1, 2).float() / 255)[-1]
        return found
