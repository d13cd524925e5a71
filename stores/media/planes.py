"""Planes of a decoded frame as arrays that share its memory."""

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import UInt8, UInt16

Plane = UInt8[np.ndarray, "_height _width"] | UInt16[np.ndarray, "_height _width"]
"""Codes of one component of a picture; above 8 bits they are uint16."""


def plane_view(frame: VideoFrame, index: int) -> Plane:
    """View one plane of a planar frame.

    Args:
        frame: A frame with one component in each plane and positive line sizes.
        index: Number of the plane.

    Returns:
        The plane's codes; writing changes the frame.
    """
    plane = frame.planes[index]
    buffer = memoryview(plane)
    if frame.format.components[0].bits > 8:
        deep = np.frombuffer(buffer, dtype=np.uint16).reshape(plane.height, -1)
        return deep[:, : plane.width]
    return np.frombuffer(buffer, dtype=np.uint8).reshape(plane.height, -1)[:, : plane.width]


def plane_views(frame: VideoFrame) -> tuple[Plane, ...]:
    """View all planes of a planar frame, see `plane_view`."""
    return tuple(plane_view(frame, index) for index in range(len(frame.planes)))
