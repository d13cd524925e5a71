"""What the polishing network learns from: mouths that the method made, and the true ones."""

from collections.abc import Sequence

import numpy as np

from models.exemplar.polish import MOUTH_SIDE, REFERENCES, small_mouth
from models.exemplar.settings import RenderSettings
from models.faces.blend import blend
from models.faces.mesh.indices import LIPS
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Blocks, Made, Shard, stage
from tasks.methods.borrowed_mouths import BorrowedMouths
from tasks.source.pictures import PIXEL_SHARD, marks, pictures
from tasks.speech.motion import MOTION

POLISH_PAIRS = Schema(
    "polish_pairs",
    {
        "patch": pictures("y", "x", "rgb", doc="RGB 0..255, as rendered"),
        "blended": pictures("y", "x", "rgb", doc="RGB 0..255, in the frame"),
        "own": pictures("y", "x", "rgb", doc="RGB 0..255, the frame's own mouth"),
        "reference": pictures("reference", "y", "x", "rgb", doc="RGB 0..255, other mouths"),
        "lips": pictures("lip", "y", "x", doc="0 outside .. 255 within the outer, inner lips"),
        "mask": pictures("y", "x", doc="0 frame .. 255 patch"),
        "box": ArraySpec(
            ("frame", "corner"),
            "float32",
            "px",
            "x0, y0, x1, y1 of the true lips",
            shard=PIXEL_SHARD,
        ),
        "valid": marks("a mouth was made, and the own one is seen"),
    },
    {
        **{"y": MOUTH_SIDE, "x": MOUTH_SIDE, "rgb": 3, "lip": 2, "corner": 4},
        "reference": REFERENCES,
    },
    "Rendered mouths beside the true ones, small, one row per output frame.",
)


@stage(MOTION, version=1)
def true_motion(speaker: Artifact, landmarks: Artifact, *, output_frames: Artifact) -> Made:
    """The mouth that each frame really shows, as if speech had asked for it."""
    source = output_frames.read("source_frame")
    return Made({"mouth": landmarks.read("mouth")[source], "neutral": speaker.read("neutral")})


@stage(POLISH_PAIRS, version=1, rows="output_frames")
def polish_pairs(
    lenders: Artifact,
    motion: Artifact,
    *,
    landmarks: Artifact,
    timeline: Artifact,
    crops: Artifact,
    mouths: Artifact,
    output_frames: Artifact,
    settings: RenderSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Make the mouths as for a dub, and put them beside those that were filmed.

    Args:
        mouths: `small_mouths`.
    """
    made = BorrowedMouths(
        lenders,
        motion,
        landmarks=landmarks,
        timeline=timeline,
        crops=crops,
        mouths=mouths,
        output_frames=output_frames,
        settings=settings,
    )
    whole = (made.shown == 1) & crops.read("in_bank")[made.source]
    unmoved = np.eye(2, 3, dtype=np.float32)
    for shard in shards:
        made.begin(shard.start, shard.stop)
        count = shard.stop - shard.start
        sizes = {**POLISH_PAIRS.sizes, "frame": count}
        block = {
            name: np.zeros([sizes[dim] for dim in spec.dims], spec.dtype)
            for name, spec in POLISH_PAIRS.arrays.items()
        }
        for row in np.flatnonzero(whole[shard.start : shard.stop]).tolist():
            frame, at = shard.start + row, int(made.source[shard.start + row])
            crop = crops.read("crop", at, at + 1)[0]
            new = blend([crop], made.rendered(frame), transform=unmoved)
            if new is None:
                continue
            square, seen = made.mouth_squares[at], made.small(frame)
            lips = made.own_points(at)[list(LIPS), :2] @ square[:, :2].T + square[:, 2]
            found = {
                "patch": seen.patch,
                "blended": small_mouth(new.onto(crop), square),
                "own": small_mouth(crop, square),
                "reference": seen.references,
                "lips": seen.lips,
                "mask": seen.mask,
                "box": np.concatenate([lips.min(0), lips.max(0)]),
                "valid": True,
            }
            for name, value in found.items():
                block[name][row] = value
        yield block
