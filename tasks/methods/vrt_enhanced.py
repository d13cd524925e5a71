"""Stabilised faces made sharp by a face restoration network."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.deep3d.alignment import five_points
from models.restore.align import (
    FFHQ_BORDER,
    crop_face,
    ffhq_affine,
    gpen_affine,
    paste_face,
    paste_mask,
)
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Blocks, Shard, stage
from tasks.inference.shared import network_runner
from tasks.methods.vrt_reference import STABILISED
from tasks.weights.networks import load_network

_ROWS_AT_ONCE = 16


@stage(STABILISED, version=1, rows="stabilised", network=True)
def vrt_enhanced(
    stabilised: Artifact,
    cut: Artifact,
    *,
    enhancer: Literal["gpen", "gfpgan"],
    weights: Artifact,
    parser: Artifact,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut each face out as the network wants it, restore it, and paste what is skin back.

    Args:
        weights: Of the network.
        parser: Of ParseNet.
    """
    from models.video_retalking.finish import Finisher, gpen_mask

    valid = stabilised.read("valid")
    waiting: deque[list[tuple[NDArray[np.uint8], NDArray[np.float64]]]] = deque()
    mask_of = gpen_mask if enhancer == "gpen" else paste_mask

    def blocks() -> Iterator[tuple[NDArray[np.uint8]]]:
        for shard in shards:
            rows = np.flatnonzero(valid[shard.start : shard.stop]) + shard.start
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[start : start + _ROWS_AT_ONCE]
                faces = np.ascontiguousarray(stabilised.read_rows("face", some)[..., ::-1])
                points = cut.read_rows("landmarks", some).astype(np.float64) - 0.5
                affines = [_affine(each, enhancer) for each in points]
                waiting.append(list(zip(faces, affines, strict=True)))
                border = FFHQ_BORDER if enhancer == "gfpgan" else (0, 0, 0)
                found = [crop_face(*each, border=border) for each in waiting[-1]]
                yield (np.stack(found),)

    options = {} if enhancer == "gpen" else {"return_rgb": False, "randomize_noise": False}
    runner = network_runner(
        "vrt_enhanced",
        weights,
        lambda network: Finisher(network, load_network(parser), **options),
        parser.key,
    )
    done = (
        paste_face(face, np.ascontiguousarray(said[..., :3]), affine, mask_of(said[..., 3]))
        for found in runner.map(blocks())
        for (face, affine), said in zip(waiting.popleft(), found, strict=True)
    )
    for shard in shards:
        inside = valid[shard.start : shard.stop]
        faces = stabilised.read("face", shard.start, shard.stop)
        for row in np.flatnonzero(inside):
            faces[row] = next(done)[..., ::-1]
        yield {"face": faces, "valid": inside}


def _affine(points: NDArray[np.float64], enhancer: str) -> NDArray[np.float64]:
    five = five_points(points)
    return gpen_affine(five) if enhancer == "gpen" else ffhq_affine(five)
