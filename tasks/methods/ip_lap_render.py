"""IP-LAP's second half: the faces that its landmarks describe; and with the source's own detail."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import box_transforms, to_crop
from models.faces.crop.masks import lower_face_mask
from models.faces.crop.recast import between
from models.faces.occlusion import opacity
from models.ip_lap.boxes import from_box
from models.ip_lap.detail import with_detail
from models.ip_lap.landmarks import CONTENT
from models.ip_lap.paste import crop_contour_mask
from models.ip_lap.sketch import SIZE, renderer_sketches
from models.ip_lap.windows import MIDDLE, WINDOW, mel_windows
from models.speech_to_lips.neutral import neutral_mouth
from stores.artifacts.artifact import Artifact
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.methods.ip_lap import IP_LAP_MOTION, reference_points
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline
from tasks.speech.motion import MOTION

if TYPE_CHECKING:
    from torch import nn

    from models.ip_lap.renderer import Renderer
    from tasks.inference.runner import Runner

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Paste = Literal["soft", "contour"]

FADE_FRAMES = 4
"""Frames over which the own mouth fades in before something hides it."""

HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""


def _plan_render() -> Plan:
    return Plan(sizes={"y": SIZE, "x": SIZE})


@stage(RENDER, version=2, rows="output_frames", plan=_plan_render, network=True)
def ip_lap_render(
    crops: Artifact,
    references: Artifact,
    *,
    motion: Artifact,
    mel: Artifact,
    landmarks: Artifact,
    visibility: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    paste: Paste,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Draw each frame's landmarks, and make the face that they and the speech describe.

    Args:
        weights: Of the renderer.
        paste: soft keeps all but jaw and mouth, contour all outside the face, as published.
    """
    clip, source = load_timeline(timeline), output_frames.read("source_frame")
    columns, pts = mel.read("mel"), output_frames.read("pts")
    starts = scene_starts(clip.scene_start, source)
    free = motion.read("valid") & visibility.read("free")[source]
    shown = opacity(free, scene_start=starts, fade_frames=FADE_FRAMES)

    def inputs(rows: Rows) -> tuple[NDArray[Any], ...]:
        faces = crops.read_rows("face", source[rows])
        heard = mel_windows(columns, pts[rows], clip.time_base)[:, MIDDLE]
        return heard, faces, _sketches(motion, rows)

    blocks = (each.start + np.flatnonzero(shown[each.start : each.stop]) for each in shards)
    portrait = _runner(weights, crops, references, landmarks, precision, shown > 0, inputs)
    made = portrait.map(map(inputs, filter(len, blocks)))
    for shard in shards:
        part = slice(shard.start, shard.stop)
        frames, seen = source[part], shown[part] > 0
        boxes = crops.read_rows("box", frames)
        transforms = box_transforms(boxes, seen, size=SIZE)
        patch = np.zeros((len(frames), SIZE, SIZE, 3), np.uint8)
        mask = np.zeros((len(frames), SIZE, SIZE), np.uint8)
        if seen.any():
            patch[seen] = next(made)[..., ::-1]
        points = to_crop(landmarks.read_rows("landmarks", frames), transforms)
        for row in np.flatnonzero(seen):
            whole = _mask(points[row], transforms[row], paste)
            mask[row] = np.rint(whole * shown[part][row]).astype(np.uint8)
        yield render_rows(patch=patch, mask=mask, transform=transforms, valid=seen)


def _sketches(motion: Artifact, rows: Rows) -> Floats:
    """Sketches (frame, WINDOW, 128, 128) float32 0..1 of some output frames."""
    points, sizes = motion.read_rows("landmarks", rows), motion.read_rows("box_size", rows)
    drawn = renderer_sketches(points.reshape(-1, *points.shape[2:]), sizes.reshape(-1, 2))
    return drawn[:, 0].reshape(-1, WINDOW, SIZE, SIZE)


def _mask(points: Floats, transform: Floats, paste: Paste) -> NDArray[np.uint8]:
    if paste == "soft":
        return lower_face_mask(points, SIZE)
    zoom = float(np.sqrt(np.linalg.det(transform[:, :2])))
    return crop_contour_mask(points, SIZE, zoom=zoom)


def _runner(
    weights: Artifact,
    crops: Artifact,
    references: Artifact,
    landmarks: Artifact,
    precision: Precision,
    usable: NDArray[np.bool_],
    block: Callable[[Rows], tuple[NDArray[Any], ...]],
) -> "Runner":
    """The renderer with this person's reference images."""
    import torch

    from models.ip_lap.speaker import Portrait
    from tasks.inference.shared import network_runner

    def with_references(renderer: "nn.Module") -> Portrait:
        rows = references.read("images")
        boxes = crops.read_rows("box", rows)
        sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)[:, ::-1]
        drawn = renderer_sketches(reference_points(rows, crops, landmarks), sizes)
        faces = crops.read_rows("face", rows)
        return Portrait(
            cast("Renderer", renderer), torch.from_numpy(faces), torch.from_numpy(drawn[:, 0])
        )

    return network_runner(
        "ip_lap_render",
        weights,
        with_references,
        *(crops.key, references.key),
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=usable,
        block=block,
    )


@stage(MOTION, version=1)
def ip_lap_mouth(
    motion: Artifact, crops: Artifact, *, landmarks: Artifact, output_frames: Artifact
) -> Made:
    """The predicted jaw and lips as the exemplar method takes them: canonical, in face heights.

    IP-LAP predicts no depth: the source's own is kept.
    """
    source, pose = output_frames.read("source_frame"), load_pose(landmarks)
    neutral = neutral_mouth(landmarks.read("mouth")[landmarks.read("valid")])
    mouth = np.empty((len(source), len(CONTENT), 3), np.float32)
    block = IP_LAP_MOTION.arrays["landmarks"].shard
    for start in range(0, len(source), block):
        rows = source[start : start + block]
        shares = motion.read("landmarks", start, start + block)[:, MIDDLE, :, -len(CONTENT) :]
        flat = from_box(shares.swapaxes(1, 2), crops.read_rows("box", rows))
        depth = landmarks.read_rows("landmarks", rows)[:, list(CONTENT), 2:]
        points = np.concatenate([flat, depth], axis=-1)
        mouth[start : start + block] = pose.at(rows).to_canonical(points)
    mouth[~motion.read("valid")] = neutral
    return Made({"mouth": mouth, "neutral": neutral}, {"notes": []})


def _plan_detail(exemplar: Artifact) -> Plan:
    sizes = {name: exemplar.sizes[name] for name in ("y", "x")}
    return Plan(sizes=sizes, attributes={"notes": list(exemplar.attributes.get("notes", []))})


@stage(RENDER, version=1, rows="exemplar", plan=_plan_detail)
def ip_lap_detail(render: Artifact, exemplar: Artifact, *, shards: Sequence[Shard]) -> Blocks:
    """What is coarse from IP-LAP's faces, what is fine from the source's own pixels.

    Args:
        render: IP-LAP's.
        exemplar: The exemplar method's, of IP-LAP's landmarks.
    """
    for shard in shards:
        rows = (shard.start, shard.stop)
        arrays = {name: exemplar.read(name, *rows) for name in RENDER.arrays}
        faces, boxes = render.read("patch", *rows), render.read("transform", *rows)
        both = arrays["valid"] & render.read("valid", *rows)
        for row in np.flatnonzero(both):
            transform = between(boxes[row], arrays["transform"][row])
            arrays["patch"][row] = with_detail(
                faces[row], arrays["patch"][row], arrays["mask"][row], transform=transform
            )
        yield arrays
