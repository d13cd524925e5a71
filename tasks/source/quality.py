"""How good each frame of a clip is to learn from."""

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import to_crop
from models.quality.picture import mouth_sharpness, turn_degrees
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage
from tasks.source.face_crops import SIDE
from tasks.source.landmarks import load_pose
from tasks.source.pictures import PIXEL_SHARD

Floats = NDArray[np.float32]


QUALITY = Schema(
    "quality",
    {
        "face_px": series("height of the face, forehead to chin; 0 without", "px"),
        "turn": series("angle between head and camera; NaN without a face", "degrees"),
        "sharpness": series("detail of the mouth region; NaN without a face"),
        "visible": series("a face whose mouth can be seen", dtype="bool"),
    },
    {},
    "How good each frame is to learn from.",
)


@stage(QUALITY, version=1)
def quality(landmarks: Artifact, crops: Artifact, *, visibility: Artifact) -> Made:
    """Look at each face of `face_crops`."""
    valid, pose = landmarks.read("valid"), load_pose(landmarks)
    turn = np.where(valid, turn_degrees(pose.rotation), np.nan).astype(np.float32)
    sharpness = np.full(len(valid), np.nan, np.float32)
    for start in range(0, len(valid), PIXEL_SHARD):
        stop = min(start + PIXEL_SHARD, len(valid))
        rows = np.flatnonzero(valid[start:stop])
        if not len(rows):
            continue
        faces = crops.read("face", start, stop)
        points = to_crop(
            landmarks.read("landmarks", start, stop), crops.read("transform", start, stop)
        )
        height = faces.shape[1] / SIDE
        for row in rows:
            sharpness[start + row] = mouth_sharpness(faces[row], points[row], height)
    return Made(
        {
            "face_px": np.where(valid, pose.scale, 0).astype(np.float32),
            "turn": turn,
            "sharpness": sharpness,
            "visible": visibility.read("free"),
        }
    )
