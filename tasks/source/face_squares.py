"""Faces as the StyleGAN2 talking face takes them: eyes and mouth at fixed places of a square."""

from collections.abc import Sequence

import numpy as np

from models.stylegan2_face.alignment import square_anchors, square_transforms
from models.stylegan2_face.settings import SquareSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.source.area import crop_of
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.pictures import TRANSFORM, marks, pictures
from tasks.source.timeline import load_timeline

FACE_SQUARES = Schema(
    "face_squares",
    {
        "face": pictures("y", "x", "rgb", doc="RGB 0..255, edge pixels going on beyond the frame"),
        "transform": TRANSFORM,
        "valid": marks("there is a face"),
    },
    {"rgb": 3, "row": 2, "column": 3},
    "Aligned faces, one row per source frame; pixel centres on integers + 0.5.",
)


def _plan(settings: SquareSettings) -> Plan:
    return Plan(sizes={"y": settings.side, "x": settings.side})


@stage(FACE_SQUARES, version=1, rows="timeline", plan=_plan)
def face_squares(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    settings: SquareSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Lay the face of every frame that has one into its square; zeros elsewhere."""
    clip, valid, side = load_timeline(timeline), landmarks.read("valid"), settings.side
    pose = load_pose(landmarks)
    reader = FrameReader(video.path, clip)
    for shard in shards:
        rows = np.arange(shard.start, shard.stop)
        points = square_anchors(
            landmarks.read("landmarks", shard.start, shard.stop),
            pose.at(rows),
            mean_face=mean_face(),
            align=settings.align,
        )
        transforms = square_transforms(points, side=side)
        transforms[~valid[rows]] = 0
        faces = np.zeros((len(rows), side, side, 3), np.uint8)
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            if valid[rows[row]]:
                faces[row] = crop_of(frame, transforms[row], side)
        yield {"face": faces, "transform": transforms, "valid": valid[rows]}
