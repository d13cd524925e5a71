"""What every method gives to the composite: new mouths in crops, one row per output frame."""

from models.faces.crop.rendered import SHIFT_GRID
from stores.artifacts.schema import ArraySpec, Schema
from tasks.source.pictures import PIXEL_SHARD, TRANSFORM

RENDER = Schema(
    "render",
    {
        "patch": ArraySpec(
            ("frame", "y", "x", "rgb"),
            "uint8",
            "",
            "RGB 0..255, in crop px; black away from the mask",
            shard=PIXEL_SHARD,
        ),
        "mask": ArraySpec(
            ("frame", "y", "x"), "uint8", "", "0 frame .. 255 patch", shard=PIXEL_SHARD
        ),
        "own_shift": ArraySpec(
            ("frame", "v", "u", "xy"),
            "float32",
            "crop px",
            "how the frame's own pixels move",
            shard=PIXEL_SHARD,
        ),
        "transform": TRANSFORM,
        "valid": ArraySpec(("frame",), "bool", "", "the mouth was made anew", shard=PIXEL_SHARD),
    },
    {"rgb": 3, "row": 2, "column": 3, "xy": 2, "v": SHIFT_GRID, "u": SHIFT_GRID},
    "New mouths, one row per output frame, in the aligned crops' coordinates.",
)
