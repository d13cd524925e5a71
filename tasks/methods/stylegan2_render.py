"""The StyleGAN2 talking face drawn anew, and the frame that shows who it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import to_crop
from models.faces.crop.masks import face_mask, lower_face_mask
from models.faces.occlusion import opacity
from models.quality.picture import turn_degrees
from models.speech_to_lips.neutral import opening
from models.stylegan2_face.driving import still_frame
from models.stylegan2_face.settings import Noise, Paste
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.landmarks import load_frontal
from tasks.source.pictures import marks, pictures
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from torch import nn

Rows = NDArray[np.int64]

FADE_FRAMES = 4
"""Frames over which the own mouth fades in before something hides it."""

HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""

STILL_SQUARE = Schema(
    "still_square",
    {
        "face": pictures("y", "x", "rgb", doc="RGB 0..255, of `face_squares`"),
        "valid": marks("there is a face"),
    },
    {"frame": 1, "rgb": 3},
    "The face of one frame, which says who it is.",
)


@stage(STILL_SQUARE, version=1)
def stylegan2_still(squares: Artifact, landmarks: Artifact, *, visibility: Artifact) -> Made:
    """Choose the frame with the most frontal face and the most closed mouth, freely seen if any."""
    valid = landmarks.read("valid")
    free = load_frontal(landmarks) & visibility.read("free")
    row = still_frame(
        turn_degrees(landmarks.read("rotation")),
        opening(landmarks.read("mouth")),
        free if free.any() else valid,
    )
    arrays = {name: squares.read(name, row, row + 1) for name in STILL_SQUARE.arrays}
    return Made(arrays, {"source_frame": row})


def _plan_render(squares: Artifact, lips: Artifact, rest: Artifact, paste: Paste) -> Plan:
    notes = [note for each in (lips, rest) for note in each.attributes.get("notes", [])]
    told: dict[str, Any] = {"notes": list(dict.fromkeys(notes))}
    told |= {"paste": "unmatched"} if paste == "crop" else {}
    return Plan(sizes={name: squares.sizes[name] for name in ("y", "x")}, attributes=told)


@stage(RENDER, version=1, rows="output_frames", plan=_plan_render, network=True)
def stylegan2_render(
    squares: Artifact,
    still: Artifact | None,
    *,
    lips: Artifact,
    rest: Artifact,
    landmarks: Artifact,
    visibility: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    paste: Paste,
    noise: Noise,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Draw each frame's face with the wanted lips, eyes and contour.

    Args:
        squares: `face_squares` of the source.
        still: `still_square` of the face to draw; None draws each frame's own.
        lips: `speech_lips` or `driven`.
        rest: `driven`; or `face_features` of the still face, whose one row holds for all frames.
        weights: Of the talking face.
        paste: lower: jaw and mouth; face: all of the face; crop: the square, colours as they come.
    """
    from tasks.inference.shared import network_runner

    clip, source = load_timeline(timeline), output_frames.read("source_frame")
    free = (squares.read("valid") & load_frontal(landmarks) & visibility.read("free"))[source]
    for each in (lips, rest):
        free &= each.read("valid") if "valid" in each.array_names else True
    starts = scene_starts(clip.scene_start, source)
    shown = opacity(free, scene_start=starts, fade_frames=FADE_FRAMES)

    def inputs(rows: Rows) -> tuple[NDArray[Any], ...]:
        moving = rows if rest.sizes["frame"] == len(source) else np.zeros_like(rows)
        given = lips.read_rows("lips", rows), rest.read_rows("rest", moving), rows
        return given if still is not None else (*given, squares.read_rows("face", source[rows]))

    def portrayer(network: "nn.Module") -> "nn.Module":
        import torch

        from models.stylegan2_face.speaker import Portrayer

        person = None if still is None else torch.from_numpy(still.read("face"))
        return Portrayer(network, noise=noise, still=person)

    runner = network_runner(
        "stylegan2_render",
        weights,
        portrayer,
        *(noise, None if still is None else still.key),
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=shown > 0,
        block=inputs,
    )
    blocks = (each.start + np.flatnonzero(shown[each.start : each.stop]) for each in shards)
    made = runner.map(map(inputs, filter(len, blocks)))
    side = squares.sizes["y"]
    for shard in shards:
        part = slice(shard.start, shard.stop)
        frames, seen = source[part], shown[part] > 0
        transforms = squares.read_rows("transform", frames) * seen[:, None, None]
        patch = np.zeros((len(frames), side, side, 3), np.uint8)
        mask = np.zeros((len(frames), side, side), np.uint8)
        points = to_crop(landmarks.read_rows("landmarks", frames), transforms)
        if seen.any():
            patch[seen] = next(made)
        for row in np.flatnonzero(seen):
            whole = _mask(points[row], side, paste)
            mask[row] = np.rint(whole * shown[part][row]).astype(np.uint8)
        yield render_rows(patch=patch, mask=mask, transform=transforms, valid=seen)


def _mask(points: NDArray[np.float32], side: int, paste: Paste) -> NDArray[np.uint8]:
    if paste == "crop":
        return np.full((side, side), 255, np.uint8)
    lower = lower_face_mask(points, side)
    return lower if paste == "lower" else np.maximum(face_mask(points, side), lower)
