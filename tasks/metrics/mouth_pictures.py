"""How much the picture of the mouth changes from frame to frame, and how the lower face looks."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import CROP_CENTRE, CROP_SIDE, crop_transforms, to_crop
from models.faces.mesh.indices import LIPS
from models.faces.occlusion import LOOK_SIZE, face_look
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.read import read_frames
from tasks.engine.stage import Blocks, Shard, stage
from tasks.source.area import crop_of
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.pictures import PIXEL_SHARD, pictures
from tasks.source.timeline import load_timeline

_SIDE = 96
"""Of the aligned lower face in which changes are measured [px]."""
_MARGIN = 0.3
"""Around the lips of the mean face, as a share of their width: mouths open."""

MOUTH_PICTURES = Schema(
    "mouth_pictures",
    {
        "step": ArraySpec(
            ("frame",),
            "float32",
            "levels",
            "mean change of the mouth since the frame before, head motion taken out; NaN where "
            "either shows no face",
            shard=PIXEL_SHARD,
        ),
        "look": pictures("v", "u", "rgb", doc="RGB 0..255, the face in the mean face's shape"),
    },
    {"v": LOOK_SIZE, "u": LOOK_SIZE, "rgb": 3},
    "The mouth of a video, result or source, as a picture.",
)


@stage(MOUTH_PICTURES, version=1, rows="timeline")
def mouth_pictures(
    video: Source, timeline: Artifact, *, landmarks: Artifact, shards: Sequence[Shard]
) -> Blocks:
    """Cut the lower face out of each frame; the pose says where, so that heads may move."""
    clip, valid = load_timeline(timeline), landmarks.read("valid")
    transforms = crop_transforms(load_pose(landmarks), size=_SIDE)
    for shard in shards:
        first = max(0, shard.start - 1)
        step = np.full(shard.stop - first, np.nan, np.float32)
        look = np.zeros((len(step), LOOK_SIZE, LOOK_SIZE, 3), np.uint8)
        points = to_crop(
            landmarks.read("landmarks", first, shard.stop), transforms[first : shard.stop]
        )
        before = None
        for row, frame in enumerate(read_frames(video.path, clip, first, shard.stop)):
            if not valid[first + row]:
                before = None
                continue
            crop = crop_of(frame, transforms[first + row], _SIDE)
            look[row] = face_look(crop, points[row], mean_face())
            mouth = crop[_mouth_area()].astype(np.int16)
            if before is not None:
                step[row] = np.abs(mouth - before).mean()
            before = mouth
        yield {"step": step[shard.start - first :], "look": look[shard.start - first :]}


@cache
def _mouth_area() -> tuple[slice, slice]:
    """Rows and columns of the crop around the mean face's lips."""
    corner = np.array(CROP_CENTRE[:2]) - CROP_SIDE / 2
    lips: NDArray[np.float64] = (mean_face()[list(LIPS), :2] - corner) * (_SIDE / CROP_SIDE)
    low, high = lips.min(0), lips.max(0)
    margin = _MARGIN * (high[0] - low[0])
    x0, y0 = np.maximum(np.floor(low - margin), 0).astype(int)
    x1, y1 = np.ceil(high + margin).astype(int)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))
