"""Which frames show a mouth that nothing hides."""

from models.faces.occlusion import covered_frames, covered_share, facing, mouth_quality
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.timeline import load_timeline

VISIBILITY = Schema(
    "visibility",
    {
        "free": series("a face whose mouth can be seen", dtype="bool"),
        "quality": series("0 hidden .. 1 clear"),
    },
    {},
    "How freely the mouth is seen.",
)


@stage(VISIBILITY, version=1)
def visibility(crops: Artifact, landmarks: Artifact, *, timeline: Artifact) -> Made:
    """Find the frames in which the mouth is hidden, or the head turned too far to see it."""
    valid, cuts = landmarks.read("valid"), load_timeline(timeline).scene_start
    share = covered_share(crops.read("look"), valid, mean_face=mean_face(), scene_start=cuts)
    covered = covered_frames(share, valid)
    turned = valid & ~facing(load_pose(landmarks))
    free = valid & ~covered & ~turned
    return Made(
        {"free": free, "quality": mouth_quality(share, free)},
        {"covered_frames": int(covered.sum()), "turned_frames": int(turned.sum())},
    )
