"""Aligned lower-face crops of the source."""

from collections.abc import Sequence

import numpy as np

from models.exemplar.bank import bank_frames
from models.exemplar.settings import CropSettings
from models.faces.crop.crop import face_squares, native_crops, to_crop
from models.faces.occlusion import LOOK_SIZE, face_look
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.source.area import area_of_crop
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.pictures import TRANSFORM, marks, photographs, pictures
from tasks.source.timeline import load_timeline

CROPS = Schema(
    "crops",
    {
        "crop": photographs(
            *("y", "x", "rgb"),
            doc="RGB 0..255, lower face in the frame's own pixels; zeros outside the bank",
        ),
        "in_bank": marks("the crop is kept"),
        "look": pictures("v", "u", "rgb", doc="RGB 0..255, the face in the mean face's shape"),
        "transform": TRANSFORM,
    },
    {"rgb": 3, "row": 2, "column": 3, "v": LOOK_SIZE, "u": LOOK_SIZE},
    "The lower face as it was filmed; pixel centres on integers + 0.5.",
)


def _plan(landmarks: Artifact, settings: CropSettings) -> Plan:
    pose, valid = load_pose(landmarks), landmarks.read("valid")
    size, _ = native_crops(pose, valid, max_size=settings.max_size)
    return Plan(sizes={"y": size, "x": size}, attributes={"crop_size_px": size})


@stage(CROPS, version=3, rows="timeline", plan=_plan)
def crops(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    settings: CropSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut the lower face out of every frame that has one; keep those of the bank."""
    clip, pose = load_timeline(timeline), load_pose(landmarks)
    valid = landmarks.read("valid")
    size, transforms = native_crops(pose, valid, max_size=settings.max_size)
    squares = face_squares(pose, transforms)
    in_bank = np.zeros(len(valid), bool)
    in_bank[bank_frames(valid, limit=settings.bank_limit)] = True
    reader = FrameReader(video.path, clip)
    for shard in shards:
        rows = slice(shard.start, shard.stop)
        crop = np.zeros((shard.stop - shard.start, size, size, 3), np.uint8)
        look = np.zeros((len(crop), LOOK_SIZE, LOOK_SIZE, 3), np.uint8)
        points = to_crop(landmarks.read("landmarks", shard.start, shard.stop), transforms[rows])
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            if not valid[shard.start + row]:
                continue
            area = area_of_crop(frame, transforms[shard.start + row], size)
            if area is None:
                continue
            cropped = area.crop(size)
            square = squares[shard.start + row]
            look[row] = face_look(cropped, points[row], mean_face(), square=square)
            if in_bank[shard.start + row]:
                crop[row] = cropped
        yield {"crop": crop, "in_bank": in_bank[rows], "look": look, "transform": transforms[rows]}
