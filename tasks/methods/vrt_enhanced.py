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
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Shard, stage
from tasks.inference.shared import network_runner
from tasks.methods.vrt_reference import STABILISED
from tasks.methods.vrt_render import HALF_PRECISION_TOLERANCE
from tasks.weights.networks import load_network

_ROWS_AT_ONCE = 16
_Placed = tuple[NDArray[np.uint8], NDArray[np.float64]]  # a face, and where the network sees it


@stage(STABILISED, version=2, rows="stabilised", network=True)
def vrt_enhanced(
    stabilised: Artifact,
    cut: Artifact,
    *,
    enhancer: Literal["gpen", "gfpgan"],
    weights: Artifact,
    parser: Artifact,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut each face out as the network wants it, restore it, and paste what is skin back.

    Args:
        weights: Of the network.
        parser: Of ParseNet.
    """
    from models.video_retalking.finish import Finisher, gpen_mask

    valid = stabilised.read("valid")
    waiting: deque[list[_Placed]] = deque()

    def pasted(placed: _Placed, said: NDArray[np.uint8]) -> NDArray[np.uint8]:
        face, affine = placed
        labels, sharp = said[..., 3], np.ascontiguousarray(said[..., :3])
        zoom = float(np.hypot(*affine[:, 0]))
        mask = gpen_mask(labels, zoom=zoom) if enhancer == "gpen" else paste_mask(labels)
        return paste_face(face, sharp, affine, mask)

    def placed_faces(rows: NDArray[np.int64]) -> list[_Placed]:
        faces = np.ascontiguousarray(stabilised.read_rows("face", rows)[..., ::-1])
        points = cut.read_rows("landmarks", rows).astype(np.float64) - 0.5
        return [(face, _affine(each, enhancer)) for face, each in zip(faces, points, strict=True)]

    def cropped(faces: list[_Placed]) -> tuple[NDArray[np.uint8]]:
        border = FFHQ_BORDER if enhancer == "gfpgan" else (0, 0, 0)
        return (np.stack([crop_face(*each, border=border) for each in faces]),)

    def blocks() -> Iterator[tuple[NDArray[np.uint8]]]:
        for shard in shards:
            rows = np.flatnonzero(valid[shard.start : shard.stop]) + shard.start
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                waiting.append(placed_faces(rows[start : start + _ROWS_AT_ONCE]))
                yield cropped(waiting[-1])

    options = {} if enhancer == "gpen" else {"return_rgb": False, "randomize_noise": False}
    runner = network_runner(
        "vrt_enhanced",
        weights,
        lambda network: Finisher(network, load_network(parser), **options),
        parser.key,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=valid,
        block=lambda rows: cropped(placed_faces(rows)),
    )
    done = (
        pasted(placed, said)
        for found in runner.map(blocks())
        for placed, said in zip(waiting.popleft(), found, strict=True)
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
