"""Whole faces as networks are trained on them: square, upright as filmed, of one size per clip."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import SIZE_STEP, face_squares, square_transforms, to_crop
from models.faces.mesh.align import Pose
from models.faces.occlusion import LOOK_SIZE, face_look
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.source.area import crop_of
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.pictures import TRANSFORM, marks, photographs, pictures
from tasks.source.settings import FaceCropSettings
from tasks.source.timeline import load_timeline

SIDE = 1.4
"""Side of the square [face heights]: methods cut their own boxes out of it."""

CENTRE = (0.0, 0.24, 0.0)
"""Its centre, canonical: half-way from forehead to chin."""

FACE_CROPS = Schema(
    "face_crops",
    {
        "face": photographs(
            *("y", "x", "rgb"),
            doc="RGB 0..255, the face at native sharpness, not turned; zeros where invalid",
        ),
        "look": pictures(
            "v", "u", "rgb", doc="RGB 0..255, the lower face in the mean face's shape"
        ),
        "transform": TRANSFORM,
        "valid": marks("there is a face"),
    },
    {"rgb": 3, "row": 2, "column": 3, "v": LOOK_SIZE, "u": LOOK_SIZE},
    "Whole faces, one row per source frame; pixel centres on integers + 0.5.",
)


def face_size(scale: NDArray[np.float32], valid: NDArray[np.bool_], *, max_size: int) -> int:
    """Side [px] that keeps the median face at native sharpness, a multiple of 32."""
    native = SIDE * float(np.median(scale[valid])) if valid.any() else 0.0
    return int(np.clip(SIZE_STEP * np.ceil(native / SIZE_STEP), 3 * SIZE_STEP, max_size))


def face_transforms(pose: Pose, valid: NDArray[np.bool_], *, size: int) -> NDArray[np.float32]:
    """(frame, 2, 3) float32, frame px → crop px, from the head's place and size."""
    side = SIDE * pose.scale
    return square_transforms(pose, valid, centre=CENTRE, side=side, size=size)


def _plan(landmarks: Artifact, settings: FaceCropSettings) -> Plan:
    valid = landmarks.read("valid")
    size = face_size(landmarks.read("scale"), valid, max_size=settings.max_size)
    return Plan(sizes={"y": size, "x": size}, attributes={"crop_size_px": size})


@stage(FACE_CROPS, version=3, rows="timeline", plan=_plan)
def face_crops(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    settings: FaceCropSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut the face out of every frame that has one, with a small picture of what may cover it."""
    clip, pose = load_timeline(timeline), load_pose(landmarks)
    valid = landmarks.read("valid")
    size = face_size(pose.scale, valid, max_size=settings.max_size)
    transforms = face_transforms(pose, valid, size=size)
    squares = face_squares(pose, transforms)
    reader = FrameReader(video.path, clip)
    for shard in shards:
        rows = slice(shard.start, shard.stop)
        faces = np.zeros((shard.stop - shard.start, size, size, 3), np.uint8)
        looks = np.zeros((len(faces), LOOK_SIZE, LOOK_SIZE, 3), np.uint8)
        points = to_crop(landmarks.read("landmarks", shard.start, shard.stop), transforms[rows])
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            index = shard.start + row
            if not valid[index]:
                continue
            faces[row] = crop_of(frame, transforms[index], size)
            square = squares[index]
            looks[row] = face_look(faces[row], points[row], mean_face(), square=square)
        yield {"face": faces, "look": looks, "transform": transforms[rows], "valid": valid[rows]}
