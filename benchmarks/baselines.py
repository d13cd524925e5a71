"""What the exemplar method is compared with: the same renderer, driven without listening."""

import numpy as np

from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Made, stage
from tasks.source.timeline import load_timeline
from tasks.speech.motion import MOTION


@stage(MOTION, version=1)
def closed(speaker: Artifact, output_frames: Artifact) -> Made:
    """A closed mouth throughout."""
    neutral = speaker.read("neutral")
    count = output_frames.sizes["frame"]
    return Made({"mouth": np.repeat(neutral[None], count, axis=0), "neutral": neutral})


@stage(MOTION, version=1)
def other_moment(
    speaker: Artifact,
    landmarks: Artifact,
    *,
    timeline: Artifact,
    output_frames: Artifact,
    apart_s: float,
    seed: int,
) -> Made:
    """For each frame the true mouth of a random other moment of the same video."""
    rng = np.random.default_rng(seed)
    seconds = load_timeline(timeline).seconds
    source = output_frames.read("source_frame")
    mouth, valid = landmarks.read("mouth"), landmarks.read("valid")
    chosen = np.empty(len(source), np.int64)
    for row, frame in enumerate(source):
        far = np.flatnonzero(valid & (np.abs(seconds - seconds[frame]) >= apart_s))
        chosen[row] = rng.choice(far)
    return Made({"mouth": mouth[chosen], "neutral": speaker.read("neutral")})
