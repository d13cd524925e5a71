"""New mouths into the source's frames, with a mark of origin, and those into compressed segments.

Whole frames exist only here, one at a time: what is kept is the encoder's output. A frame without
a new mouth goes to the encoder as it was decoded, bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from models.faces.blend import blend, pasted
from models.faces.coding import Coding
from models.faces.crop.crop import beginning_at, upright_box
from models.faces.crop.rendered import Rendered
from models.faces.settings import BlendSettings
from models.marks.label import drawn_label
from models.marks.picture import PictureMark, brightened
from models.marks.settings import LabelSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.encode import Segment, codec_of, encode_segment
from stores.media.frame import Frame, Planes
from stores.media.pixels import Codes
from stores.media.read import FrameReader
from stores.media.settings import EncodeSettings
from stores.media.timeline import Timeline
from tasks.engine.stage import Arrays, Blocks, Plan, Shard, stage
from tasks.source.area import around
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline

COMPOSITE = Schema(
    "composite",
    {
        "size": ArraySpec(("frame",), "int64", "byte", "of each packet, in decoding order"),
        "order": ArraySpec(("frame",), "int64", "", "place of the packet's frame in its segment"),
        "keyframe": ArraySpec(("frame",), "bool", "", "the packet can be decoded alone"),
        "payload": ArraySpec(("byte",), "uint8", "", "packets of a segment", ragged=True),
        "extradata": ArraySpec(("byte",), "uint8", "", "the encoder's parameters", ragged=True),
    },
    {},
    "The dubbed picture, compressed in segments of 256 frames that are joined as they are.",
)

_CODEC = "codec"
_ROWS_AT_ONCE = 16

Row = tuple[Rendered, NDArray[np.float32], bool]
"""A mouth, frame px → px of its crop, and whether it was made anew."""


def plan_picture(timeline: Artifact, encode: EncodeSettings) -> Plan:
    return Plan(attributes={_CODEC: codec_of(load_timeline(timeline).video, encode)})


@stage(COMPOSITE, version=8, rows="output_frames", plan=plan_picture)
def composite(
    video: Source,
    timeline: Artifact,
    *,
    output_frames: Artifact,
    render: Artifact | None,
    landmarks: Artifact | None,
    blend: BlendSettings,
    encode: EncodeSettings,
    mark: int | None,
    label: LabelSettings | None,
    shards: Sequence[Shard],
) -> Blocks:
    """Blend each render into its frame and encode.

    Args:
        landmarks: Where the face is; None only without a mark.
        mark: Number that goes into the pixels that are new, as `models.marks.picture` describes it.
        label: What is written into every frame, or the first ones.
    """
    clip = load_timeline(timeline)
    source = output_frames.read("source_frame")
    reader = FrameReader(video.path, clip)
    for shard in shards:
        frames = frames_in_order(reader, source[shard.start : shard.stop])
        if render is not None:
            marks = None
            if mark is not None and landmarks is not None:
                marks = marks_in(mark, landmarks, clip, output_frames, shard)
            frames = composed(frames, render, shard, blend, marks)
        if label is not None:
            seconds = shown_at(output_frames, clip, shard)
            frames = labelled(frames, label, seconds)
        yield segment_arrays(encode_segment(frames, clip.video, encode))


def segment_arrays(segment: Segment) -> Arrays:
    """The arrays of a shard of a `composite`."""
    return {
        "size": segment.size,
        "order": segment.order,
        "keyframe": segment.keyframe,
        "payload": segment.payload,
        "extradata": np.frombuffer(segment.extradata, np.uint8),
    }


def load_segments(composite: Artifact) -> Iterator[Segment]:
    """The segments in order, one in memory at a time."""
    shard_rows = COMPOSITE.arrays["size"].shard
    for shard, start in enumerate(range(0, composite.sizes["frame"], shard_rows)):
        stop = min(start + shard_rows, composite.sizes["frame"])
        yield Segment(
            payload=composite.read_ragged("payload", shard),
            size=composite.read("size", start, stop),
            order=composite.read("order", start, stop),
            keyframe=composite.read("keyframe", start, stop),
            extradata=composite.read_ragged("extradata", shard).tobytes(),
            codec=composite.attributes[_CODEC],
        )


def frames_in_order(reader: FrameReader, rows: NDArray[np.int64]) -> Iterator[Frame]:
    """Source frames in any order of rows; runs on, back and in place are read as such."""
    start = 0
    while start < len(rows):
        step, stop = _run(rows, start)
        first, last = int(rows[start]), int(rows[stop - 1])
        if step == 0:
            (frame,) = reader.read(first, first + 1)
            yield from (frame.copy() for _ in range(stop - start))
        elif step > 0:
            yield from reader.read(first, last + 1)
        else:
            yield from reader.read_back(last, first + 1)
        start = stop


def _run(rows: NDArray[np.int64], start: int) -> tuple[int, int]:
    """Step (1, -1 or 0) and end of the run of rows that begins at `start`."""
    steps = np.diff(rows[start:])
    if len(steps) == 0 or abs(steps[0]) > 1:
        return 1, start + 1
    step = int(steps[0])
    other = np.flatnonzero(steps != step)
    return step, start + (int(other[0]) + 1 if len(other) else len(steps) + 1)


def marks_in(
    mark: int, landmarks: Artifact, clip: Timeline, output_frames: Artifact, shard: Shard
) -> PictureMark:
    rows = output_frames.read("source_frame", shard.start, shard.stop)
    seen, pose = landmarks.read("valid")[rows], load_pose(landmarks).at(rows)
    return PictureMark.of(mark, pose, seen, shown_at(output_frames, clip, shard))


def shown_at(output_frames: Artifact, clip: Timeline, shard: Shard) -> NDArray[np.float64]:
    """When each of the frames is shown."""
    pts = output_frames.read("pts", shard.start, shard.stop)
    return np.asarray(pts * float(clip.time_base), np.float64)


def labelled(
    frames: Iterator[Frame], label: LabelSettings, seconds: NDArray[np.float64]
) -> Iterator[Frame]:
    """Frames with the label in their lower right corner, as long as it is shown."""
    for frame, time in zip(frames, seconds, strict=True):
        if label.seconds is None or time < label.seconds:
            rgb, weight = drawn_label(label.text, frame.width, frame.height)
            inset = frame.height // 40
            x0, y0 = frame.width - rgb.shape[1] - inset, frame.height - rgb.shape[0] - inset
            frame.paste_rgb(max(0, x0), max(0, y0), rgb, weight)
        yield frame


def composed(
    frames: Iterator[Frame],
    render: Artifact,
    shard: Shard,
    settings: BlendSettings,
    marks: PictureMark | None = None,
) -> Iterator[Frame]:
    """The shard's frames with their new mouths in them.

    Args:
        frames: Source frames as `output_frames` asks for them; they are changed.
        marks: What to put into the new pixels of each.
    """
    rows = rendered_rows(render, shard)
    return blended(frames, rows, render.attributes.get("paste"), settings, marks)


def blended(
    frames: Iterator[Frame],
    rows: Iterator[Row],
    paste: str | None,
    settings: BlendSettings,
    marks: PictureMark | None = None,
) -> Iterator[Frame]:
    """Frames with these mouths in them.

    Args:
        frames: They are changed.
        rows: As of `rendered_rows`.
        paste: As the attribute of a `render`.
        marks: What to put into the new pixels of each.
    """
    if paste == "unmatched":
        settings = settings.model_copy(update={"colour_match": False})
    for row, (frame, (mouth, transform, valid)) in enumerate(zip(frames, rows, strict=True)):
        light = _no_light if marks is None else partial(marks.light, row)
        if valid and paste == "hard":
            box = upright_box(transform, len(mouth.patch))
            rgb = pasted(mouth.patch, box)
            lit = brightened(rgb, light(box.x0, box.y0, rgb.shape[:2]))
            share = np.float32(mouth.mask.max(initial=0) / 255)
            weight = None if share == 1 else np.full(rgb.shape[:2], share)
            frame.paste_rgb(box.x0, box.y0, lit, weight)
        elif valid:
            _blend_into(frame, mouth, transform, settings, light)
        yield frame


Light = Callable[[int, int, tuple[int, ...]], NDArray[np.float32] | None]
"""Left and upper edge and shape of a rectangle of the frame → light to be added [levels]."""


def _no_light(x0: int, y0: int, shape: tuple[int, ...]) -> None:
    return None


@cache
def _coding(codes: Codes, shift_x: int, shift_y: int) -> Coding:
    return Coding(codes.from_rgb(), codes.to_rgb(), codes.maximum, (shift_x, shift_y))


def _blend_into(
    frame: Frame,
    mouth: Rendered,
    transform: NDArray[np.float32],
    settings: BlendSettings,
    light: Light,
) -> None:
    box = None if mouth.changed is None else around(frame, transform, mouth.changed)
    if box is None:
        return
    layout = frame.layout
    coding = _coding(layout.codes, layout.shift_x, layout.shift_y)
    area = frame.planes(box.x0, box.y0, box.x1, box.y1)
    here = beginning_at(transform, area.x0, area.y0)
    parts = (area.luma, area.chroma)
    new = blend(parts, mouth, transform=here, coding=coding, settings=settings)
    if new is None:
        return
    x0, y0 = area.x0 + new.x0, area.y0 + new.y0
    if (levels := light(x0, y0, new.share.shape)) is not None:
        new = new.lit(levels, coding)
    frame.paste(Planes(x0, y0, *new.parts), new.opacity if frame.interlaced else None)


def rendered_rows(render: Artifact, shard: Shard) -> Iterator[Row]:
    """Mouth, transform and validity of each frame, read chunk by chunk."""
    transforms = render.read("transform", shard.start, shard.stop)
    valid = render.read("valid", shard.start, shard.stop)
    for start in range(0, len(valid), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(valid)))
        stored = (shard.start + rows.start, shard.start + rows.stop)
        mouths = (render.read(name, *stored) for name in ("patch", "mask", "own_shift"))
        for *mouth, transform, seen in zip(*mouths, transforms[rows], valid[rows], strict=True):
            yield Rendered(*mouth), transform, bool(seen)
