"""Every face in every frame."""

from collections.abc import Sequence

import numpy as np

from models.faces.mesh.indices import N_POINTS
from models.faces.tracks import face_boxes
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Shard, stage
from tasks.source.mesh_detector import FaceMeshDetector, FrameView
from tasks.source.pictures import STEP_PX
from tasks.source.s3fd_boxes import SfdBoxes
from tasks.source.timeline import load_timeline
from tasks.weights.networks import load_network

MAX_FACES = 4
"""Most faces kept per frame, largest first."""


DETECTION_SIDE_PX = 1280
"""Frames are scaled down to this before faces are searched."""

_SHARD = 128

FACES = Schema(
    "faces",
    {
        "landmarks": ArraySpec(
            ("frame", "face", "point", "xyz"),
            "float32",
            "px",
            "478-point meshes of the upright frame, x right, y down, z away; zeros in empty slots",
            shard=_SHARD,
            step=STEP_PX,
        ),
        "box": ArraySpec(
            ("frame", "face", "corner"), "float32", "px", "x0, y0, x1, y1", shard=_SHARD
        ),
        "score": ArraySpec(
            ("frame", "face"), "float32", "", "0 for an empty slot, up to 1", shard=_SHARD
        ),
    },
    {"face": MAX_FACES, "point": N_POINTS, "xyz": 3, "corner": 4},
    "Faces as detected, in no order; no pixels.",
)


@stage(FACES, version=8, rows="timeline")
def faces(
    video: Source,
    timeline: Artifact,
    *,
    sfd_weights: Artifact | None = None,
    shards: Sequence[Shard],
) -> Blocks:
    """Detect up to MAX_FACES faces in each frame; the tracker forgets at shards and at cuts.

    Args:
        sfd_weights: S3FD's, to find faces with face-alignment's detector; None for
            mediapipe's own.
    """
    clip = load_timeline(timeline)
    find_boxes = None if sfd_weights is None else SfdBoxes(load_network(sfd_weights))
    detector = FaceMeshDetector(max_faces=MAX_FACES, find_boxes=find_boxes)
    try:
        reader = FrameReader(video.path, clip)
        for shard in shards:
            detector.reset()
            rows = shard.stop - shard.start
            landmarks = np.zeros((rows, MAX_FACES, N_POINTS, 3), np.float32)
            score = np.zeros((rows, MAX_FACES), np.float32)
            for row, frame in enumerate(reader.read(shard.start, shard.stop)):
                if clip.scene_start[shard.start + row]:
                    detector.reset()
                view = FrameView(frame, DETECTION_SIDE_PX)
                found, scores = detector.detect(view)
                # Depth is in units of the width.
                landmarks[row, : len(found)] = found * view.to_frame[[0, 1, 0]]
                score[row, : len(found)] = scores
            yield {"landmarks": landmarks, "box": face_boxes(landmarks), "score": score}
    finally:
        detector.close()
