"""What GANimation learns from: faces as dubbing shows them to it, and measures of their parts."""

from collections.abc import Sequence

import cv2
import numpy as np

from models.ganimation.action_units import MEASURES, face_measures
from models.video_retalking.enet import SIDE
from models.video_retalking.settings import PUBLISHED_CROPS
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.methods.wav2lip import boxed
from tasks.source.landmarks import load_pose
from tasks.source.pictures import PIXEL_SHARD, marks, pictures

GANIMATION_FACES = Schema(
    "ganimation_faces",
    {
        "face": pictures("y", "x", "bgr", doc="BGR 0..255; zeros where invalid"),
        "measures": ArraySpec(
            ("frame", "measure"),
            "float32",
            "face heights",
            f"{', '.join(MEASURES)}; pose taken out, zeros where invalid",
            shard=PIXEL_SHARD,
        ),
        "valid": marks("there is a face"),
    },
    {"bgr": 3, "measure": len(MEASURES)},
    "Faces as GANimation takes them, one row per source frame.",
)


def _plan(side: int) -> Plan:
    return Plan(sizes={"y": side, "x": side})


@stage(GANIMATION_FACES, version=1, rows="timeline", plan=_plan)
def ganimation_faces(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    side: int,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut faces as `vrt_crops` does, make them as small as the network sees them, and measure them.

    Args:
        side: Of the faces [px].
    """
    pose = load_pose(landmarks)
    cut = boxed(video, timeline, landmarks, PUBLISHED_CROPS, shards, size=SIDE)
    for shard, found in zip(shards, cut, strict=True):
        rows, valid = np.arange(shard.start, shard.stop), found["valid"]
        faces = np.zeros((len(rows), side, side, 3), np.uint8)
        for row in np.flatnonzero(valid):  # bilinear, without averaging, as `Emotion` does
            faces[row] = cv2.resize(found["face"][row], (side, side))
        measures = np.zeros((len(rows), len(MEASURES)), np.float32)
        seen = rows[valid]
        points = landmarks.read("landmarks", shard.start, shard.stop)[valid]
        measures[valid] = face_measures(pose.at(seen).to_canonical(points))
        yield {"face": faces, "measures": measures, "valid": valid}
