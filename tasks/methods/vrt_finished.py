"""VideoReTalking's last step: teeth made sharp, and faces pasted as published, in their crops."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.recast import between, recast
from models.sampling.rows import spread
from models.video_retalking.settings import Paste
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.methods.vrt_render import HALF_PRECISION_TOLERANCE
from tasks.result.composite import frames_in_order, rendered_rows
from tasks.result.render import RENDER, render_rows
from tasks.result.restored import SIZE, face_transforms
from tasks.source.area import crop_of
from tasks.source.timeline import load_timeline
from tasks.weights.networks import load_network

if TYPE_CHECKING:
    from torch import nn

Pixels = NDArray[np.uint8]

MAX_SIZE, SIZE_STEP = 1024, 32
"""Crops are as large as the face in the frame, in these steps up to that [px]."""
_SAMPLED_FRAMES = 64
_ROWS_AT_ONCE = 8
_GFPGAN = {"return_rgb": False, "randomize_noise": False}
_AREA = cv2.INTER_AREA


def _plan(landmarks: Artifact, paste: Paste) -> Plan:
    valid = np.flatnonzero(landmarks.read("valid"))
    some = spread(valid, _SAMPLED_FRAMES)
    native = SIZE / np.median(np.hypot(*face_transforms(landmarks, some)[:, :, 0].T))
    side = int(np.clip(SIZE_STEP * np.ceil(native / SIZE_STEP), SIZE, MAX_SIZE))
    told = {"paste": "unmatched"} if paste == "published" else {}
    return Plan(sizes={"y": side, "x": side}, attributes=told)


@stage(RENDER, version=1, rows="render", plan=_plan, network=True)
def vrt_finished(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    output_frames: Artifact,
    render: Artifact,
    restorer: Artifact | None,
    parser: Artifact,
    paste: Paste,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut the face with its new mouth out as the restoration network wants it, and finish it.

    Args:
        restorer: Weights of GFPGAN, whose mouth is taken; None leaves the mouth as it is.
        parser: Weights of ParseNet.
        paste: published: skin blended in frequency bands, colours as they come.
    """
    from models.video_retalking.finish import Finisher, finished, with_mouth
    from tasks.inference.shared import network_runner

    clip, source = load_timeline(timeline), output_frames.read("source_frame")
    reader = FrameReader(video.path, clip)
    side = _plan(landmarks, paste).sizes["y"]
    transforms = face_transforms(landmarks, source) * np.float32(side / SIZE)
    waiting: deque[list[tuple[Pixels, Pixels, Pixels]]] = deque()

    def faces(shard: Shard) -> Iterator[tuple[Pixels, Pixels, Pixels]]:
        """Own face, face with the new mouth, and the mouth's mask, of the valid rows."""
        frames = frames_in_order(reader, source[shard.start : shard.stop])
        there = transforms[shard.start : shard.stop]
        for frame, place, (mouth, old, valid) in zip(
            frames, there, rendered_rows(render, shard), strict=True
        ):
            if valid:
                own, moved = crop_of(frame, place, side), recast(mouth, between(old, place), side)
                yield own, with_mouth(own, moved.patch, moved.mask), moved.mask

    def blocks() -> Iterator[tuple[Pixels]]:
        for shard in shards:
            of_shard = faces(shard)
            while block := list(islice(of_shard, _ROWS_AT_ONCE)):
                waiting.append(block)
                yield seen(block)

    def seen(block: list[tuple[Pixels, Pixels, Pixels]]) -> tuple[Pixels]:
        small = (cv2.resize(face, (SIZE, SIZE), None, 0, 0, _AREA) for _, face, _ in block)
        return (np.stack([np.asarray(each, np.uint8) for each in small]),)

    def apart(rows: NDArray[np.int64]) -> tuple[Pixels]:
        return seen([face for row in rows.tolist() for face in faces(Shard(0, row, row + 1))])

    def restoring(network: "nn.Module") -> "nn.Module":
        return Finisher(network, load_network(parser), **_GFPGAN)

    runner = network_runner(
        "vrt_finished",
        parser if restorer is None else restorer,
        partial(Finisher, None) if restorer is None else restoring,
        parser.key,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=render.read("valid"),
        block=apart,
    )
    done = (
        finished(*face, said, teeth=restorer is not None, paste=paste)
        for found in runner.map(blocks())
        for face, said in zip(waiting.popleft(), found, strict=True)
    )
    for shard in shards:
        valid = render.read("valid", shard.start, shard.stop)
        patch = np.zeros((len(valid), side, side, 3), np.uint8)
        mask = np.zeros((len(valid), side, side), np.uint8)
        for row in np.flatnonzero(valid):
            patch[row], mask[row] = next(done)
        there = transforms[shard.start : shard.stop] * valid[:, None, None]
        yield render_rows(patch=patch, mask=mask, transform=there, valid=valid)
