"""VideoReTalking's new mouths: faces cut out by its rules, and the same faces speaking."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import box_transforms, to_crop
from models.faces.crop.masks import whole_face_mask
from models.faces.occlusion import opacity
from models.video_retalking.enet import SIDE
from models.video_retalking.settings import CropSettings, Noise, Paste
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.methods.wav2lip import boxed, mel_windows
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.pictures import boxed_faces
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from torch import nn

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

FADE_FRAMES = 4
"""Frames over which the own mouth fades in before something hides it."""

HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""

SOFT_ROWS = 16
"""Over which the upper half of a face goes over into the lower one [crop px]."""

VRT_CROPS = boxed_faces("vrt_crops", SIDE, "Faces as L-Net and E-Net take them, a row a frame.")


@stage(VRT_CROPS, version=1, rows="timeline")
def vrt_crops(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    settings: CropSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Box each face as published (pads, smoothing, whole pixels), and scale it to 384 x 384."""
    yield from boxed(video, timeline, landmarks, settings, shards, size=SIDE)


def _plan_render() -> Plan:
    return Plan(sizes={"y": SIDE, "x": SIDE})


@stage(RENDER, version=1, rows="output_frames", plan=_plan_render, network=True)
def vrt_render(
    crops: Artifact,
    reference: Artifact,
    *,
    upper: Artifact | None,
    mel: Artifact,
    landmarks: Artifact,
    visibility: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    noise: Noise,
    paste: Paste,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Let the faces speak: each with the 0.2 s of mel that begin at its frame's time.

    Args:
        reference: Crops with a frozen expression, whose lips and style are taken.
        upper: Crops that the upper halves come from; None takes those that the network makes.
        weights: Of E-Net, or of L-Net, which then stands alone.
        noise: E-Net's.
        paste: soft shows the face, published the whole box.
    """
    clip, source = load_timeline(timeline), output_frames.read("source_frame")
    columns, pts = mel.read("mel"), output_frames.read("pts")
    free = crops.read("valid") & reference.read("valid") & visibility.read("free")
    starts = scene_starts(clip.scene_start, source)
    shown = opacity(free[source], scene_start=starts, fade_frames=FADE_FRAMES)

    def inputs(rows: Rows) -> tuple[NDArray[Any], ...]:
        frames = source[rows]
        faces = (each.read_rows("face", frames) for each in (crops, reference))
        return mel_windows(columns, pts[rows], clip.time_base), *faces, rows

    def speaker(network: "nn.Module") -> "nn.Module":
        from models.video_retalking.speaker import Speaker

        return Speaker(network, noise=noise)

    from tasks.inference.shared import network_runner

    runner = network_runner(
        "vrt_render",
        weights,
        speaker,
        noise,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=shown > 0,
        block=inputs,
    )
    blocks = (each.start + np.flatnonzero(shown[each.start : each.stop]) for each in shards)
    made = runner.map(map(inputs, filter(len, blocks)))
    lower = _lower_share()
    for shard in shards:
        part = slice(shard.start, shard.stop)
        frames, seen = source[part], shown[part] > 0
        transforms = box_transforms(crops.read_rows("box", frames), seen, size=SIDE)
        patch = np.zeros((len(frames), SIDE, SIDE, 3), np.uint8)
        mask = np.zeros((len(frames), SIDE, SIDE), np.uint8)
        points = to_crop(landmarks.read_rows("landmarks", frames), transforms)
        if seen.any():
            faces = next(made)
            if upper is not None:
                own = upper.read_rows("face", frames[seen])
                faces = np.rint(own + lower * (faces.astype(np.float32) - own)).astype(np.uint8)
            patch[seen] = faces[..., ::-1]
        for row in np.flatnonzero(seen):
            whole = _mask(points[row], paste)
            if upper is not None and upper.key == crops.key:  # which is left as it is
                whole = whole * lower[..., 0]
            mask[row] = np.rint(whole * shown[part][row]).astype(np.uint8)
        yield render_rows(patch=patch, mask=mask, transform=transforms, valid=seen)


def _lower_share() -> Floats:
    """Share of the lower half in each row (row, 1, 1)."""
    from_middle = np.arange(SIDE) + 0.5 - SIDE / 2
    return np.clip(from_middle / SOFT_ROWS + 0.5, 0, 1).astype(np.float32)[:, None, None]


def _mask(points: Floats, paste: Paste) -> NDArray[Any]:
    if paste == "published":
        return np.full((SIDE, SIDE), 255, np.uint8)
    return whole_face_mask(points, SIDE)
