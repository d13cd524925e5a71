"""The faces of a clip that a network learns from, made sharp once for all."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import to_crop
from models.restore.points import five_points
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.methods.vrt_enhanced import Enhancing, Face, enhanced
from tasks.source.face_crops import FACE_CROPS


def _plan(face_crops: Artifact) -> Plan:
    side = face_crops.sizes["y"]
    return Plan(sizes={"y": side, "x": side}, attributes={"crop_size_px": side})


@stage(FACE_CROPS, version=2, rows="face_crops", plan=_plan, network=True)
def restored_crops(
    face_crops: Artifact,
    landmarks: Artifact,
    *,
    enhancer: Enhancing,
    weights: Artifact,
    parser: Artifact,
    shards: Sequence[Shard],
) -> Blocks:
    """The same crops, of the same size, with what is skin from a restoration network.

    Args:
        weights: Of the network.
        parser: Of ParseNet.
    """
    valid = face_crops.read("valid")

    def faces(rows: NDArray[np.int64]) -> Iterator[Face]:
        points = five_points(landmarks.read_rows("landmarks", rows))
        placed = to_crop(points, face_crops.read_rows("transform", rows))[..., :2]
        pictures = face_crops.read_rows("face", rows)
        return map(Face, pictures, placed.astype(np.float64) - 0.5)

    done = enhanced(
        "restored_crops",
        enhancer,
        faces,
        valid,
        shards,
        weights=weights,
        parser=parser,
        precision="float32",
    )
    for shard in shards:
        rows = (shard.start, shard.stop)
        made = {name: face_crops.read(name, *rows) for name in FACE_CROPS.arrays}
        for row in np.flatnonzero(made["valid"]):
            made["face"][row] = next(done)
        yield made
