"""Stabilised faces made sharp by a face restoration network."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import Affine
from models.deep3d.alignment import five_points
from models.faces.crop.crop import box_transforms, to_crop
from models.faces.crop.masks import whole_face_mask
from models.restore.align import (
    FFHQ_BORDER,
    SIZE,
    crop_face,
    ffhq_affine,
    gpen_affine,
    paste_face,
    paste_mask,
)
from models.video_retalking.alignment import FACE_SIDE
from stores.artifacts.artifact import Artifact
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Shard, stage
from tasks.methods.vrt_reference import STABILISED
from tasks.methods.vrt_render import HALF_PRECISION_TOLERANCE
from tasks.weights.networks import load_network

_ROWS_AT_ONCE = 16


Enhancing = Literal["gpen", "gfpgan"]


class Face(NamedTuple):
    """A picture with a face.

    Attributes:
        picture: (h, w, 3) RGB.
        points: (5, 2) of the face [px, pixel centres on integers].
        mesh: (point, 2) of the face likewise, where it tells what is pasted.
    """

    picture: NDArray[np.uint8]
    points: NDArray[np.float64]
    mesh: NDArray[np.float64] | None = None


Placed = tuple[Face, Affine]
"""And where the network's crop lies in its picture."""


@stage(STABILISED, version=3, rows="stabilised", network=True)
def vrt_enhanced(
    stabilised: Artifact,
    cut: Artifact,
    *,
    landmarks: Artifact,
    enhancer: Enhancing,
    weights: Artifact,
    parser: Artifact | None,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut each face out as the network wants it, restore it, and paste the face back.

    Args:
        landmarks: The mesh.
        weights: Of the network.
        parser: Of ParseNet, whose skin is pasted; None pastes the face of the mesh.
    """
    valid = stabilised.read("valid")

    def faces(rows: NDArray[np.int64]) -> Iterator[Face]:
        pictures = np.ascontiguousarray(stabilised.read_rows("face", rows)[..., ::-1])
        points = cut.read_rows("landmarks", rows).astype(np.float64) - 0.5
        places = box_transforms(cut.read_rows("box", rows), valid[rows], size=FACE_SIDE)
        meshes = to_crop(landmarks.read_rows("landmarks", rows), places)[..., :2] - 0.5
        return map(Face, pictures, map(five_points, points), meshes.astype(np.float64))

    done = enhanced(
        "vrt_enhanced",
        enhancer,
        faces,
        valid,
        shards,
        weights=weights,
        parser=parser,
        precision=precision,
    )
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
    parser: Artifact | None,
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
        parser: Of ParseNet, whose skin is pasted; None pastes the faces of the meshes.
        precision: That the network computes in, where that is near enough.
    """
    from models.video_retalking.finish import Finisher, gpen_mask
    from tasks.inference.shared import network_runner

    gpen = enhancer == "gpen"
    border = (0, 0, 0) if gpen else FFHQ_BORDER
    options = {} if gpen else {"return_rgb": False, "randomize_noise": False}
    affine_of = gpen_affine if gpen else ffhq_affine
    waiting: deque[list[Placed]] = deque()

    def shown(face: Face, affine: Affine, said: NDArray[np.uint8]) -> NDArray[np.float64]:
        if parser is None:
            assert face.mesh is not None
            mesh = face.mesh @ affine[:, :2].T + affine[:, 2] + 0.5
            return whole_face_mask(mesh.astype(np.float32), SIZE) / 255
        labels = said[..., 3]
        zoom = float(np.hypot(*affine[:, 0]))
        return gpen_mask(labels, zoom=zoom) if gpen else paste_mask(labels)

    def pasted(placed: Placed, said: NDArray[np.uint8]) -> NDArray[np.uint8]:
        face, affine = placed
        sharp = np.ascontiguousarray(said[..., :3])
        return paste_face(face.picture, sharp, affine, shown(face, affine, said))

    def placed_faces(some: NDArray[np.int64]) -> list[Placed]:
        return [(face, affine_of(face.points)) for face in faces(some)]

    def cropped(placed: list[Placed]) -> tuple[NDArray[np.uint8]]:
        crops = [crop_face(face.picture, affine, border=border) for face, affine in placed]
        return (np.stack(crops),)

    def blocks() -> Iterator[tuple[NDArray[np.uint8]]]:
        for some in _filled_rows(valid, shards):
            waiting.append(placed_faces(some))
            yield cropped(waiting[-1])

    runner = network_runner(
        name,
        weights,
        lambda network: Finisher(network, load_network(parser) if parser else None, **options),
        parser.key if parser else None,
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
