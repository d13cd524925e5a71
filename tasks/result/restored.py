"""A rendered mouth made sharper by a face restoration network; a stage after any method."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import to_crop
from models.faces.crop.masks import face_mask
from models.faces.crop.recast import between, recast
from models.faces.crop.rendered import PATCH_MARGIN, SHIFT_GRID
from models.faces.settings import BlendSettings
from models.restore.align import ffhq_affine
from models.restore.points import steady_points
from models.restore.settings import RestoreSettings
from models.sampling.rows import spread
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.frame import Frame
from stores.media.read import FrameReader
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.result.composite import composed, frames_in_order, rendered_rows
from tasks.result.render import RENDER, render_rows
from tasks.source.area import area_of_crop
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from tasks.inference.runner import Runner

SIZE = 512
"""Side of the faces that the network takes [px]."""

HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""

_SAMPLED_FRAMES = 256


def _plan(render: Artifact) -> Plan:
    told = {name: render.attributes.get(name) for name in ("notes", "in_reach")}
    return Plan(sizes={"y": SIZE, "x": SIZE}, attributes=told | {"notes": told["notes"] or []})


@stage(RENDER, version=3, rows="render", plan=_plan, network=True)
def restored(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    output_frames: Artifact,
    render: Artifact,
    blend: BlendSettings,
    weights: Artifact,
    settings: RestoreSettings,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Blend each mouth in, cut the face out as GFPGAN wants it, and restore it.

    Args:
        weights: Of the restoration network.
    """
    clip = load_timeline(timeline)
    source = output_frames.read("source_frame")
    valid = render.read("valid")
    transforms = face_transforms(landmarks, source)

    def faces(reader: FrameReader, *parts: Shard) -> tuple[NDArray[np.uint8]]:
        found = []
        for part in parts:
            frames = frames_in_order(reader, source[part.start : part.stop])
            for row, frame in enumerate(composed(frames, render, part, blend), part.start):
                if valid[row]:
                    found.append(_crop(frame, transforms[row]))
        return (np.stack(found),)

    def apart(rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8]]:
        return faces(
            FrameReader(video.path, clip), *(Shard(0, row, row + 1) for row in map(int, rows))
        )

    in_turn = partial(faces, FrameReader(video.path, clip))
    runner = _runner(weights, settings.strength, precision, valid, apart)
    made = runner.map(map(in_turn, _with_mouths(shards, valid)))
    for shard in shards:
        frames = source[shard.start : shard.stop]
        seen = valid[shard.start : shard.stop]
        patch = np.zeros((len(seen), SIZE, SIZE, 3), np.uint8)
        mask = np.zeros((len(seen), SIZE, SIZE), np.uint8)
        shift = np.zeros((len(seen), SHIFT_GRID, SHIFT_GRID, 2), np.float32)
        there = transforms[shard.start : shard.stop]
        if seen.any():
            patch[seen] = next(made)
        points = to_crop(landmarks.read_rows("landmarks", frames), there)
        for row, (mouth, own, has_mouth) in enumerate(rendered_rows(render, shard)):
            if has_mouth:
                moved = recast(mouth, between(own, there[row]), SIZE)
                mask[row], shift[row] = moved.mask, moved.own_shift
                if settings.area == "face":
                    mask[row] = np.maximum(mask[row], face_mask(points[row], SIZE))
                patch[row] = _near(patch[row], mask[row])
        yield render_rows(
            patch=patch,
            mask=mask,
            transform=there * seen[:, None, None],
            valid=seen,
            own_shift=shift,
        )


def _with_mouths(shards: Sequence[Shard], valid: NDArray[np.bool_]) -> Iterator[Shard]:
    return (shard for shard in shards if valid[shard.start : shard.stop].any())


def _crop(frame: Frame, transform: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The aligned face (512, 512, 3) uint8 RGB; black if it lies outside the frame."""
    area = area_of_crop(frame, transform, SIZE)
    return np.zeros((SIZE, SIZE, 3), np.uint8) if area is None else area.crop(SIZE)


def _near(patch: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The patch, black where nothing of it can be seen: it then takes little room."""
    reach = 2 * PATCH_MARGIN + 1
    shown = cv2.dilate(mask, np.ones((reach, reach), np.uint8)) > 0
    return patch * shown[..., None]


def face_transforms(landmarks: Artifact, source: NDArray[np.int64]) -> NDArray[np.float32]:
    """(frame, 2, 3) float32, frame px → px of the restoration network's crop."""
    pose, valid = load_pose(landmarks), np.flatnonzero(landmarks.read("valid"))
    sampled = spread(valid, _SAMPLED_FRAMES)
    meshes = landmarks.read_rows("landmarks", sampled)
    points = steady_points(meshes, pose.at(sampled), pose.at(source))
    affines = [ffhq_affine(five, SIZE) if five.any() else np.zeros((2, 3)) for five in points]
    return np.asarray(affines, np.float32)


def _runner(
    weights: Artifact,
    strength: float,
    precision: Precision,
    usable: NDArray[np.bool_],
    block: Callable[[NDArray[np.int64]], tuple[NDArray[np.uint8]]],
) -> "Runner":
    from models.restore.gfpgan import GfpganRestorer
    from tasks.inference.shared import network_runner

    return network_runner(
        "restored",
        weights,
        partial(GfpganRestorer, strength=strength),
        strength,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=usable,
        block=block,
    )
