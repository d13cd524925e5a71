"""Small pictures of the mouths that may be borrowed."""

from collections.abc import Sequence

import numpy as np

from models.exemplar.polish import MOUTH_SIDE, mouth_squares, small_mouth
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from tasks.engine.stage import Blocks, Shard, stage
from tasks.source.landmarks import load_pose
from tasks.source.pictures import photographs

SMALL_MOUTHS = Schema(
    "small_mouths",
    {"mouth": photographs("y", "x", "rgb", doc="RGB 0..255; zeros outside the bank")},
    {"y": MOUTH_SIDE, "x": MOUTH_SIDE, "rgb": 3},
    "The mouths of the bank as the polishing network sees them, one row per source frame.",
)


@stage(SMALL_MOUTHS, version=1, rows="crops")
def small_mouths(crops: Artifact, landmarks: Artifact, *, shards: Sequence[Shard]) -> Blocks:
    """Cut the mouth out of every crop of the bank."""
    squares = mouth_squares(load_pose(landmarks), crops.read("transform"))
    in_bank = crops.read("in_bank")
    for shard in shards:
        mouth = np.zeros((shard.stop - shard.start, MOUTH_SIDE, MOUTH_SIDE, 3), np.uint8)
        for frame in range(shard.start, shard.stop):
            if in_bank[frame]:
                crop = crops.read("crop", frame, frame + 1)[0]
                mouth[frame - shard.start] = small_mouth(crop, squares[frame])
        yield {"mouth": mouth}
