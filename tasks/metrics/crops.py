"""Networks that compare face crops of a result with those of its reference."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.timeline import Timeline
from tasks.engine.arguments import Bundle
from tasks.engine.run import current_devices
from tasks.engine.stage import Stage
from tasks.metrics.family import Comparison
from tasks.metrics.frames import (
    CROP_SIZE,
    Regions,
    batches,
    blank,
    crop_transform,
    even_rows,
    other_aspect,
    pairs,
    some_frames,
)
from tasks.source.area import crop_of
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from torch import nn

    from tasks.inference.runner import Runner


@dataclass(frozen=True)
class FacePair(Bundle):
    """A result and its reference, with the face in both and the frames that correspond."""

    result: Source
    result_timeline: Artifact
    result_landmarks: Artifact
    reference: Source
    reference_timeline: Artifact
    reference_landmarks: Artifact
    match: Artifact


def face_pair(comparison: Comparison) -> FacePair:
    """The videos and faces of a comparison."""
    result, reference = comparison.result, comparison.reference
    return FacePair(
        result.video,
        result.timeline,
        result.landmarks,
        reference.video,
        reference.timeline,
        reference.landmarks,
        comparison.match,
    )


def sampled_sides(
    describe: Stage, comparison: Comparison, **settings: Any
) -> tuple[list[int], list[Artifact]]:
    """What a stage says of some frames of the result, and of the reference's at the same times.

    Args:
        describe: Takes `rows`, the frames.
        comparison: Of which videos.
        settings: What else the stage takes.

    Returns:
        The result's frames; the stage's artifacts of the result and of the reference.
    """
    rows, there = even_rows(comparison.match)
    sides = (comparison.result, rows), (comparison.reference, there)
    return rows, [describe(seen, rows=wanted, **settings) for seen, wanted in sides]


def compared_crops(
    pair: FacePair, *, runner: "Runner", most: int
) -> tuple[NDArray[np.float32], str | None]:
    """What a network says of the same square of both frames, at most so often in a clip.

    Args:
        runner: Of a network that takes two crops (n, 256, 256, 3) uint8 RGB and gives (n,).
        most: Frames that are compared.

    Returns:
        A figure per frame of the result, NaN where none; and why there can be none, if so.
    """
    mine, theirs = load_timeline(pair.result_timeline), load_timeline(pair.reference_timeline)
    found = blank(len(mine))
    if reason := other_aspect(mine, theirs):
        return found, reason
    rows = _sampled(pair.match, pair.result_landmarks, most)
    regions = Regions.of(pair.reference_landmarks)
    compared: list[int] = []

    def crops() -> Iterator[tuple[NDArray[Any], ...]]:
        zoom = theirs.video.width / mine.video.width, theirs.video.height / mine.video.height
        videos = (pair.result, mine), (pair.reference, theirs)
        for row, frame, beside in pairs(*videos, rows):
            if regions.valid[rows[row]]:
                there = crop_transform(regions.face[rows[row]])
                here = there.copy()
                here[:, :2] *= zoom
                compared.append(row)
                yield crop_of(frame, here, CROP_SIZE), crop_of(beside, there, CROP_SIZE)

    figures = list(runner.map(batches(crops())))
    if figures:
        found[compared] = np.concatenate(figures)
    return found, None


def _sampled(match: Artifact, landmarks: Artifact, most: int) -> NDArray[np.int64]:
    """Rows of the reference at the frames that are compared, -1 at all others."""
    rows, there = even_rows(match, most)
    seen = landmarks.read("valid")
    kept = np.full(match.sizes["frame"], -1, np.int64)
    kept[rows] = np.where(seen[rows], there, -1)
    return kept


def face_squares(
    video: Source, clip: Timeline, landmarks: Artifact, rows: list[int]
) -> Iterator[tuple[NDArray[np.uint8]]]:
    """The face crops of those frames; all must show a face."""
    regions = Regions.of(landmarks)
    for row, frame in zip(rows, some_frames(video, clip, rows), strict=True):
        yield (crop_of(frame, crop_transform(regions.face[row]), CROP_SIZE),)


def metric_runner(key: tuple[str, ...], make: "Callable[[], nn.Module]") -> "Runner":
    """The network in single precision on this run's device, shared with the next clip."""
    from tasks.inference.runner import Runner
    from tasks.inference.shared import shared_runner

    devices = current_devices()
    return shared_runner((*key, devices), lambda: Runner(make(), devices))
