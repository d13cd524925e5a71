"""Stabilised faces made sharp by a face restoration network."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from tasks.methods.vrt_reference import STABILISED
from tasks.methods.vrt_render import HALF_PRECISION_TOLERANCE
from tasks.weights.networks import load_network

_ROWS_AT_ONCE = 16


Enhancing = Literal["gpen", "gfpgan"]
Face = tuple[NDArray[np.uint8], NDArray[np.float64]]
"""A picture (h, w, 3) RGB, and the face's five points (5, 2) [px, pixel centres on integers]."""


@stage(STABILISED, version=2, rows="stabilised", network=True)
def vrt_enhanced(
    stabilised: Artifact,
    cut: Artifact,
    *,
    enhancer: Enhancing,
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
    valid = stabilised.read("valid")

    def faces(rows: NDArray[np.int64]) -> Iterator[Face]:
        pictures = np.ascontiguousarray(stabilised.read_rows("face", rows)[..., ::-1])
        points = cut.read_rows("landmarks", rows).astype(np.float64) - 0.5
        return zip(pictures, map(five_points, points), strict=True)

    networks = {"weights": weights, "parser": parser}
    done = enhanced("vrt_enhanced", enhancer, faces, valid, shards, **networks, precision=precision)
    for shard in shards:
        inside = valid[shard.start : shard.stop]
        made = stabilised.read("face", shard.start, shard.stop)
        for row in np.flatnonzero(inside):
            made[row] = next(done)[..., ::-1]
        yield {"face": made, "valid": inside}


def _filled_rows(valid: NDArray[np.bool_], shards: Sequence[Shard]) -> Iterator[NDArray[np.int64]]:
    """Rows of shards that have a face, some at a time."""
    for shard in shards:
        rows = np.flatnonzero(valid[shard.start : shard.stop]) + shard.start
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            yield rows[start : start + _ROWS_AT_ONCE]


def enhanced(
    name: str,
    enhancer: Enhancing,
    faces: Callable[[NDArray[np.int64]], Iterator[Face]],
    valid: NDArray[np.bool_],
    shards: Sequence[Shard],
    *,
    weights: Artifact,
    parser: Artifact,
    precision: Precision,
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of these rows with their faces restored, RGB, one after the other.

    Args:
        name: Of the stage.
        enhancer: The network.
        faces: Pictures with faces, of rows.
        valid: (row,) that have a face.
        shards: Whose rows are wanted.
        weights: Of the network.
        parser: Of ParseNet.
        precision: That the network computes in, where that is near enough.
    """
    from models.video_retalking.finish import Finisher, gpen_mask
    from tasks.inference.shared import network_runner

    gpen = enhancer == "gpen"
    border = (0, 0, 0) if gpen else FFHQ_BORDER
    options = {} if gpen else {"return_rgb": False, "randomize_noise": False}
    waiting: deque[list[Face]] = deque()

    def pasted(placed: Face, said: NDArray[np.uint8]) -> NDArray[np.uint8]:
        face, affine = placed
        labels, sharp = said[..., 3], np.ascontiguousarray(said[..., :3])
        zoom = float(np.hypot(*affine[:, 0]))
        mask = gpen_mask(labels, zoom=zoom) if gpen else paste_mask(labels)
        return paste_face(face, sharp, affine, mask)

    def placed_faces(some: NDArray[np.int64]) -> list[Face]:
        affine_of = gpen_affine if gpen else ffhq_affine
        return [(picture, affine_of(points)) for picture, points in faces(some)]

    def cropped(placed: list[Face]) -> tuple[NDArray[np.uint8]]:
        return (np.stack([crop_face(*each, border=border) for each in placed]),)

    def blocks() -> Iterator[tuple[NDArray[np.uint8]]]:
        for some in _filled_rows(valid, shards):
            waiting.append(placed_faces(some))
            yield cropped(waiting[-1])

    runner = network_runner(
        name,
        weights,
        lambda network: Finisher(network, load_network(parser), **options),
        parser.key,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=valid,
        block=lambda rows: cropped(placed_faces(rows)),
    )
    return (
        pasted(placed, said)
        for found in runner.map(blocks())
        for placed, said in zip(waiting.popleft(), found, strict=True)
    )
