"""Every face in every frame; the one that is dubbed; its smoothed landmarks, pose and mouth."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.faces.mesh.align import Pose, estimate_pose
from models.faces.mesh.indices import MOUTH, N_POINTS
from models.faces.tracks import choose_track, face_boxes, gather_track, link_faces
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import SettingsError
from stores.media.read import read_frames
from stores.shipped import shipped_file
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.source.mesh_detector import FaceMeshDetector
from tasks.source.s3fd_boxes import SfdBoxes
from tasks.source.timeline import load_timeline
from tasks.weights.networks import load_network

MAX_FACES = 4
"""Most faces kept per frame, largest first."""

DETECTION_SIDE_PX = 1280
"""Frames are scaled down to this before faces are searched."""

FACES = Schema(
    "faces",
    {
        "landmarks": ArraySpec(
            ("frame", "face", "point", "xyz"),
            "float32",
            "px",
            "478-point meshes of the upright frame, x right, y down, z away; zeros in empty slots",
        ),
        "box": ArraySpec(("frame", "face", "corner"), "float32", "px", "x0, y0, x1, y1"),
        "score": ArraySpec(("frame", "face"), "float32", "", "0 for an empty slot, up to 1"),
    },
    {"face": MAX_FACES, "point": N_POINTS, "xyz": 3, "corner": 4},
    "Faces as detected, in no order; no pixels.",
)

TRACK = Schema(
    "track",
    {
        "slot": ArraySpec(
            ("frame",), "int32", "", "face of `faces`, -1 where not seen", chunk=4096, shard=65536
        ),
    },
    {},
    "The chosen face through time.",
)

LANDMARKS = Schema(
    "landmarks",
    {
        "landmarks": ArraySpec(
            ("frame", "point", "xyz"), "float32", "px", "smoothed mesh; zeros where invalid"
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

_MARGIN_FRAMES = 40
"""Frames read on either side of a shard, so that smoothing does not see its border."""


@cache
def mean_face() -> NDArray[np.float32]:
    """The canonical mean face (478, 3) float32, in face heights."""
    return load_file(shipped_file("models/faces/mesh/mean_face.safetensors"))["mean_face"]


def _plan_frames(video: Source, timeline: Artifact, sfd_weights: Artifact | None) -> Plan:
    return Plan(timeline.sizes["frame"])


@stage(FACES, version=1, plan=_plan_frames)
def faces(
    video: Source,
    timeline: Artifact,
    sfd_weights: Artifact | None = None,
    *,
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
        for shard in shards:
            detector.reset()
            rows = shard.stop - shard.start
            landmarks = np.zeros((rows, MAX_FACES, N_POINTS, 3), np.float32)
            score = np.zeros((rows, MAX_FACES), np.float32)
            for row, frame in enumerate(read_frames(video.path, clip, shard.start, shard.stop)):
                if clip.scene_start[shard.start + row]:
                    detector.reset()
                rgb = frame.rgb(DETECTION_SIDE_PX)
                found, scores = detector.detect(rgb)
                scale = np.float32(clip.video.width / rgb.shape[1])
                landmarks[row, : len(found)] = found * scale
                score[row, : len(found)] = scores
            yield {"landmarks": landmarks, "box": face_boxes(landmarks), "score": score}
    finally:
        detector.close()


@stage(TRACK, version=1)
def track(faces: Artifact, timeline: Artifact, face: str) -> Made:
    """Link faces through time and choose one.

    Raises:
        SettingsError: there is no such face; the message lists those that exist.
    """
    clip = load_timeline(timeline)
    tracks = link_faces(
        faces.read("box"),
        faces.read("score"),
        scene_start=clip.scene_start,
        time_s=clip.seconds,
    )
    if len(tracks) == 0 and face == "largest":
        slot = np.full(len(clip), -1, np.int32)
        return Made({"slot": slot}, {"tracks": []})
    try:
        index = choose_track(tracks, face, time_s=clip.seconds)
    except ValueError as error:
        raise SettingsError(f"--face {face}: {error}") from error
    return Made({"slot": tracks.slot[index]}, {"tracks": tracks.describe(clip.seconds)})


def _plan_landmarks(faces: Artifact, track: Artifact, timeline: Artifact) -> Plan:
    return Plan(timeline.sizes["frame"])


@stage(LANDMARKS, version=1, plan=_plan_landmarks)
def landmarks(
    faces: Artifact, track: Artifact, timeline: Artifact, *, shards: Sequence[Shard]
) -> Blocks:
    """Take the chosen face out, smooth it, and split it into pose and mouth shape."""
    from models.faces.smooth import smooth_landmarks, smooth_pose  # scipy.signal takes seconds

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


def load_pose(landmarks: Artifact) -> Pose:
    """Head pose of every frame of a `landmarks` artifact."""
    return Pose(landmarks.read("scale"), landmarks.read("rotation"), landmarks.read("translation"))
