"""How pictures of a video are kept: rows per shard, and where in the frame they lie."""

from stores.artifacts.schema import ArraySpec

PIXEL_SHARD = 64
"""Frames per shard of pictures: at 512 px a shard is 50 MB."""


TRANSFORM = ArraySpec(
    ("frame", "row", "column"),
    "float32",
    "px",
    "affine, frame px to crop px",
    shard=PIXEL_SHARD,
)
