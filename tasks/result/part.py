"""A part of the output's picture, whose frames show the mouths of certain cues and no others.

Parts begin and end where cues do, so that each depends on the cues that touch it alone: another
take of one of them leaves all other parts as they are, packet for packet.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.recast import between, recast
from models.faces.crop.rendered import Rendered, mixed
from models.faces.settings import BlendSettings
from models.marks.settings import LabelSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.encode import encode_segment
from stores.media.read import FrameReader
from stores.media.settings import EncodeSettings
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.result.composite import (
    COMPOSITE,
    Row,
    blended,
    frames_in_order,
    labelled,
    marks_in,
    plan_picture,
    rendered_rows,
    segment_arrays,
    shown_at,
)
from tasks.result.settings import Placed
from tasks.source.timeline import load_timeline


def _plan(timeline: Artifact, encode: EncodeSettings, start: int, stop: int) -> Plan:
    return Plan(stop - start, attributes=plan_picture(timeline, encode).attributes)


@stage(COMPOSITE, version=1, plan=_plan)
def part(
    video: Source,
    timeline: Artifact,
    *,
    output_frames: Artifact,
    start: int,
    stop: int,
    render: tuple[Artifact, ...],
    landmarks: tuple[Artifact, ...],
    placed: tuple[Placed, ...],
    blend: BlendSettings,
    encode: EncodeSettings,
    mark: int | None,
    label: LabelSettings | None,
    shards: Sequence[Shard],
) -> Blocks:
    """Blend the renders into the output's frames [start, stop) and encode.

    Args:
        render: Of all cues that are seen in it.
        landmarks: The face of each.
        placed: Where each lies.
        mark: As of `composite`.
        label: As of `composite`.
    """
    clip = load_timeline(timeline)
    source = output_frames.read("source_frame")
    reader = FrameReader(video.path, clip)
    for shard in shards:
        here = Shard(shard.index, shard.start + start, shard.stop + start)
        frames = frames_in_order(reader, source[here.start : here.stop])
        for face in dict.fromkeys(each.face for each in placed):
            of_face = [n for n, each in enumerate(placed) if each.face == face]
            marks = None
            if mark is not None:
                marks = marks_in(mark, landmarks[of_face[0]], clip, output_frames, here)
            rows = _met([render[n] for n in of_face], [placed[n] for n in of_face], shard)
            paste = render[of_face[0]].attributes.get("paste")
            frames = blended(frames, rows, paste, blend, marks)
        if label is not None:
            frames = labelled(frames, label, shown_at(output_frames, clip, here))
        yield segment_arrays(encode_segment(frames, clip.video, encode))


def _met(renders: Sequence[Artifact], placed: Sequence[Placed], shard: Shard) -> Iterator[Row]:
    """Mouths of one face, each as much as it is seen: what is missing to a whole is the frame's."""
    rows = [
        rendered_rows(each, Shard(0, at.first + shard.start, at.first + shard.stop))
        for each, at in zip(renders, placed, strict=True)
    ]
    weights = np.stack([_weights(at, shard) for at in placed])
    weights /= np.maximum(weights.sum(axis=0), 1)
    for shares, mouths in zip(weights.T, zip(*rows, strict=True), strict=True):
        seen = [
            (*row[:2], float(share))
            for row, share in zip(mouths, shares, strict=True)
            if row[2] and share > 0
        ]
        if not seen:
            yield (*mouths[0][:2], False)
            continue
        mouth, transform, share = max(seen, key=lambda each: each[2])
        if share < 1:
            size = len(mouth.mask)
            mouth = mixed([(_brought(m, own, transform, size), w) for m, own, w in seen])
        yield mouth, transform, True


def _weights(at: Placed, shard: Shard) -> NDArray[np.float64]:
    """How much of a render is seen in each row, 0..1."""
    rows = at.first + np.arange(shard.start, shard.stop)
    beyond = np.maximum(np.maximum(at.start - rows, rows - (at.stop - 1)), 0)
    return np.maximum(1 - beyond / (at.fade + 1), 0)


def _brought(
    mouth: Rendered, own: NDArray[np.float32], wanted: NDArray[np.float32], size: int
) -> Rendered:
    """The mouth in another crop of the same face."""
    return mouth if np.array_equal(own, wanted) else recast(mouth, between(own, wanted), size)
