"""The chosen face's smoothed landmarks, split into head pose and mouth shape."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.faces.mesh.align import Pose, estimate_pose
from models.faces.mesh.indices import MOUTH, N_POINTS
from models.faces.smooth import smooth_landmarks, smooth_pose
from models.faces.tracks import gather_track
from models.quality.picture import TURNED_DEGREES, turn_degrees
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.shipped import shipped_file
from tasks.engine.stage import Blocks, Shard, stage
from tasks.source.pictures import STEP_PX
from tasks.source.timeline import load_timeline

LANDMARKS = Schema(
    "landmarks",
    {
        "landmarks": ArraySpec(
            ("frame", "point", "xyz"),
            "float32",
            "px",
            "smoothed mesh; zeros where invalid",
            step=STEP_PX,
        ),
        "valid": ArraySpec(("frame",), "bool", "", "a usable face is seen"),
        "scale": ArraySpec(("frame",), "float32", "px per face height", "of the pose"),
        "rotation": ArraySpec(("frame", "axis", "xyz"), "float32", "", "canonical to image"),
        "translation": ArraySpec(("frame", "xyz"), "float32", "px", "of the pose"),
        "mouth": ArraySpec(
            ("frame", "mouth_point", "xyz"), "float32", "face heights", "canonical MOUTH points"
        ),
    },
    {"point": N_POINTS, "xyz": 3, "axis": 3, "mouth_point": len(MOUTH)},
    "The chosen face: smoothed within scenes, and split into head pose and mouth shape.",
)


_MEAN_FACE = "models/faces/mesh/mean_face.safetensors"
_MARGIN_FRAMES = 40
"""Frames read on either side of a shard, so that smoothing does not see its border."""


@cache
def mean_face() -> NDArray[np.float32]:
    """The canonical mean face (478, 3) float32, in face heights."""
    return load_file(shipped_file(_MEAN_FACE))["mean_face"]


@cache
def mirrored_points() -> NDArray[np.int32]:
    """Each mesh point's partner on the other side of the face (478,)."""
    return load_file(shipped_file(_MEAN_FACE))["mirror"]


@stage(LANDMARKS, version=2, rows="timeline")
def landmarks(
    faces: Artifact, track: Artifact, *, timeline: Artifact, shards: Sequence[Shard]
) -> Blocks:
    """Take the chosen face out, smooth it, and split it into pose and mouth shape."""
    clip = load_timeline(timeline)
    slots = track.read("slot")
    rate = float(clip.video.rate)
    for shard in shards:
        start = max(0, shard.start - _MARGIN_FRAMES)
        stop = min(len(slots), shard.stop + _MARGIN_FRAMES)
        inner = slice(shard.start - start, shard.stop - start)
        meshes, valid = gather_track(faces.read("landmarks", start, stop), slots[start:stop])
        cuts = clip.scene_start[start:stop]
        meshes = smooth_landmarks(meshes, valid, scene_start=cuts, frame_rate_hz=rate)
        raw = estimate_pose(np.where(valid[:, None, None], meshes, mean_face()), mean_face())
        pose = smooth_pose(raw, valid, scene_start=cuts, frame_rate_hz=rate)
        mouth = pose.to_canonical(meshes[:, list(MOUTH)]) * valid[:, None, None]
        yield {
            "landmarks": meshes[inner],
            "valid": valid[inner],
            "scale": pose.scale[inner],
            "rotation": pose.rotation[inner],
            "translation": pose.translation[inner],
            "mouth": mouth[inner].astype(np.float32),
        }


def load_upright(landmarks: Artifact, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
    """Whether the face leans by less than 60 degrees (frame,): then its upright box shows a face.

    Args:
        start: first frame.
        stop: one past the last; None for all that there are.
    """
    stop = landmarks.sizes["frame"] if stop is None else stop
    return np.asarray(landmarks.read("rotation", start, stop)[:, 1, 1] > 0.5)


def load_frontal(landmarks: Artifact) -> NDArray[np.bool_]:
    """Whether a face is seen, turned away by no more than TURNED_DEGREES (frame,)."""
    turn = turn_degrees(landmarks.read("rotation"))
    return np.asarray(landmarks.read("valid") & (turn <= TURNED_DEGREES))


def load_pose(landmarks: Artifact) -> Pose:
    """Head pose of every frame of a `landmarks` artifact."""
    return Pose(landmarks.read("scale"), landmarks.read("rotation"), landmarks.read("translation"))
