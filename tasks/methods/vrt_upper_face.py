"""An emotion of the upper face, by GANimation."""

from collections.abc import Sequence

import numpy as np

from models.video_retalking.enet import SIDE
from models.video_retalking.settings import UpperFace
from stores.artifacts.artifact import Artifact
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Shard, stage
from tasks.methods.vrt_render import HALF_PRECISION_TOLERANCE
from tasks.source.pictures import boxed_faces

VRT_UPPER_FACE = boxed_faces("vrt_upper_face", SIDE, "Crops of faces that show an emotion.")


@stage(VRT_UPPER_FACE, version=1, rows="crops", network=True)
def vrt_upper_face(
    crops: Artifact,
    *,
    face: UpperFace,
    strength: float,
    weights: Artifact,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Give the faces the action units of an emotion.

    Args:
        strength: 0 as they are .. 1 as the network makes them.
        weights: Of GANimation's generator.
    """
    from models.video_retalking.speaker import Emotion
    from tasks.inference.shared import network_runner

    valid = crops.read("valid")
    runner = network_runner(
        "vrt_upper_face",
        weights,
        lambda network: Emotion(network, face, strength),
        *(face, strength),
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=valid,
        block=lambda rows: (crops.read_rows("face", rows),),
    )
    parts = [slice(shard.start, shard.stop) for shard in shards]
    made = runner.map(
        (crops.read("face", part.start, part.stop)[valid[part]],)
        for part in parts
        if valid[part].any()
    )
    for part in parts:
        faces = np.zeros((part.stop - part.start, SIDE, SIDE, 3), np.uint8)
        if valid[part].any():
            faces[valid[part]] = next(made)
        boxes = crops.read("box", part.start, part.stop)
        yield {"face": faces, "box": boxes, "valid": valid[part]}
