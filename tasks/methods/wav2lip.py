"""Wav2Lip's own stages: faces cut out by its rules, and the same faces speaking."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import CHUNK, COLUMNS_PER_SECOND, MAX_ABS
from models.faces.crop.crop import box_transforms, to_crop
from models.faces.crop.masks import lower_face_mask
from models.faces.tracks import face_boxes
from models.wav2lip.settings import Wav2LipCropSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.result.render import RENDER, render_rows
from tasks.source.landmarks import LANDMARKS, load_upright
from tasks.source.pictures import boxed_faces
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from tasks.inference.runner import Runner

Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
Inputs = Callable[[Rows], tuple[NDArray[Any], ...]]

FACE_SIZE = 96
"""Side of the faces that the network takes [px]."""

HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""

WAV2LIP_CROPS = boxed_faces(
    "wav2lip_crops", FACE_SIZE, "Faces as Wav2Lip takes them, one row per source frame."
)


@stage(WAV2LIP_CROPS, version=2, rows="timeline")
def wav2lip_crops(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    settings: Wav2LipCropSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Box each face as published (pads, smoothing, whole pixels), and scale it to 96 x 96."""
    yield from boxed(video, timeline, landmarks, settings, shards, size=FACE_SIZE)


def boxed(
    video: Source,
    timeline: Artifact,
    landmarks: Artifact,
    settings: Wav2LipCropSettings,
    shards: Sequence[Shard],
    *,
    size: int,
) -> Blocks:
    """Faces in the published boxes, stretched to squares of `size` px: arrays of `boxed_faces`."""
    from models.wav2lip.steps import crop_face

    clip = load_timeline(timeline)
    frame_size = (clip.video.height, clip.video.width)
    boxes, valid = _boxes(landmarks, clip.scene_start, frame_size, settings)
    reader = FrameReader(video.path, clip)
    for shard in shards:
        rows = slice(shard.start, shard.stop)
        faces = np.zeros((shard.stop - shard.start, size, size, 3), np.uint8)
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            if valid[shard.start + row]:
                face = frame.crop_rgb(*boxes[shard.start + row].tolist())
                whole = np.array([0, 0, face.shape[1], face.shape[0]])
                faces[row] = crop_face(face, whole, size=size)[..., ::-1]
        yield {"face": faces, "box": boxes[rows], "valid": valid[rows]}


def _boxes(
    landmarks: Artifact,
    scene_start: NDArray[np.bool_],
    frame_size: tuple[int, int],
    settings: Wav2LipCropSettings,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Boxes (frame, 4) and whether there is one (frame,); smoothing ends at cuts and gaps."""
    from models.wav2lip.steps import pad_boxes, smooth_boxes

    block = LANDMARKS.arrays["landmarks"].shard
    found = [
        face_boxes(landmarks.read("landmarks", start, start + block))
        for start in range(0, landmarks.sizes["frame"], block)
    ]
    boxes = pad_boxes(np.concatenate(found), frame_size, pads=settings.pads)
    valid = landmarks.read("valid") & load_upright(landmarks) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    boxes[~valid] = 0
    starts = np.flatnonzero(valid & (scene_start | ~np.concatenate([[False], valid[:-1]])))
    for start in starts:
        ends = np.flatnonzero(~valid[start + 1 :] | scene_start[start + 1 :])
        stop = start + 1 + int(ends[0]) if len(ends) else len(valid)
        boxes[start:stop] = smooth_boxes(boxes[start:stop], window=settings.smoothing)
    return boxes, valid


def _plan_render(paste: Literal["soft", "hard"]) -> Plan:
    return Plan(sizes={"y": FACE_SIZE, "x": FACE_SIZE}, attributes={"paste": paste})


@stage(RENDER, version=2, rows="output_frames", plan=_plan_render, network=True)
def wav2lip_render(
    crops: Artifact,
    mel: Artifact,
    *,
    landmarks: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    paste: Literal["soft", "hard"],
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Let the faces speak: each with the 0.2 s of mel that begin at its frame's time.

    Args:
        weights: Of the generator.
        paste: hard replaces the whole box, as published; soft only jaw and mouth, with a fade.
    """
    columns, pts = mel.read("mel"), output_frames.read("pts")
    source = output_frames.read("source_frame")
    time_base = load_timeline(timeline).time_base
    parts = [slice(shard.start, shard.stop) for shard in shards]

    def inputs(rows: Rows | slice) -> tuple[NDArray[Any], ...]:
        return mel_windows(columns, pts[rows], time_base), crops.read_rows("face", source[rows])

    speaker = _runner(weights, precision, crops.read("valid")[source], inputs)
    for part, faces in zip(parts, speaker.map(map(inputs, parts)), strict=True):
        frames = source[part]
        boxes, valid = crops.read_rows("box", frames), crops.read_rows("valid", frames)
        transforms = box_transforms(boxes, valid, size=FACE_SIZE)
        faces[~valid] = 0
        if paste == "hard":
            mask = np.broadcast_to((255 * valid).astype(np.uint8)[:, None, None], faces.shape[:3])
        else:
            points = to_crop(landmarks.read_rows("landmarks", frames), transforms)
            mask = np.zeros(faces.shape[:3], np.uint8)
            for row in np.flatnonzero(valid):
                mask[row] = lower_face_mask(points[row], FACE_SIZE)
        yield render_rows(patch=faces[..., ::-1], mask=mask, transform=transforms, valid=valid)


def mel_windows(
    mel: NDArray[np.float32], pts: NDArray[np.int64], time_base: Fraction
) -> NDArray[np.float32]:
    """The mel that Wav2Lip hears at each frame: (frame, 80, 16) float32, -4..4.

    A window begins at its frame's time. As published, those that would run past the end of the
    speech are its last columns; frames after the end hear silence.

    Args:
        mel: (column, 80) float32, 80 columns a second.
        pts: (frame,) presentation times [ticks].
        time_base: Seconds per tick.
    """
    ticks = pts.astype(np.int64) * time_base.numerator * COLUMNS_PER_SECOND
    first = ticks // time_base.denominator
    quiet = np.full((CHUNK, mel.shape[1]), -MAX_ABS, np.float32)
    sound = np.concatenate([mel, quiet[len(mel) :], quiet])
    last = len(sound) - 2 * CHUNK
    first = np.where(first < len(mel), np.minimum(first, last), last + CHUNK)
    windows = np.lib.stride_tricks.sliding_window_view(sound, CHUNK, axis=0)
    return np.asarray(windows[np.maximum(first, 0)], np.float32)


def _runner(weights: Artifact, precision: Precision, usable: Bools, block: Inputs) -> "Runner":
    from models.wav2lip.speaker import Speaker
    from tasks.inference.shared import network_runner

    return network_runner(
        "wav2lip_render",
        weights,
        Speaker,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=usable,
        block=block,
    )
