"""How pictures of a video are kept: rows per shard, where in the frame they lie, and schemas."""

from stores.artifacts.schema import ArraySpec, Schema

PIXEL_SHARD = 64
"""Frames per shard of pictures: at 512 px a shard is 50 MB."""

STEP_PX = 1 / 64
"""To which places in pictures are kept; detectors waver by ten times as much."""


TRANSFORM = ArraySpec(
    ("frame", "row", "column"),
    "float32",
    "px",
    "affine, frame px to crop px",
    shard=PIXEL_SHARD,
)


def pictures(*dims: str, doc: str, chunk: int = 16) -> ArraySpec:
    """Declares 8-bit pictures.

    Args:
        dims: Behind the frame: y, x and the name of the channels.
        doc: Colour order, value range, and what they show.
        chunk: Frames read at once.
    """
    return ArraySpec(("frame", *dims), "uint8", "", doc, chunk=chunk, shard=PIXEL_SHARD)


def photographs(*dims: str, doc: str) -> ArraySpec:
    """Declares 8-bit RGB pictures kept as JPEG, in the mean 0.65 levels from what they were."""
    return ArraySpec(("frame", *dims), "uint8", "", doc, shard=PIXEL_SHARD, jpeg_quality=95)


def marks(doc: str) -> ArraySpec:
    """Declares a yes or no for each frame of pictures."""
    return ArraySpec(("frame",), "bool", "", doc, shard=PIXEL_SHARD)


def boxed_faces(kind: str, size: int, doc: str) -> Schema:
    """Declares faces that were cut out by boxes and scaled to squares, one row per source frame.

    Args:
        kind: Of the artifact.
        size: Side of the squares [px].
        doc: What they are for.
    """
    arrays = {
        "face": pictures(
            "y", "x", "bgr", doc=f"BGR 0..255, the box at {size} x {size}; zeros where invalid"
        ),
        "box": ArraySpec(
            ("frame", "corner"), "int64", "px", "x1, y1, x2, y2, ends excluded", shard=PIXEL_SHARD
        ),
        "valid": marks("there is a face"),
    }
    return Schema(kind, arrays, {"y": size, "x": size, "bgr": 3, "corner": 4}, doc)
