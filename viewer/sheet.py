"""A contact sheet of a video: some of its frames, evenly over its length, in one small picture."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.media.glance import glance

FRAMES, COLUMNS = 8, 4
_WIDTH_PX = 240
_JPEG_QUALITY = 80


def contact_sheet(video: Path) -> bytes:
    """A JPEG of FRAMES frames at most, for the eye: see `glance`.

    Args:
        video: File.

    Raises:
        MediaError: the video can't be read.
    """
    pictures = []
    for frame in glance(video, FRAMES):
        height = max(1, round(_WIDTH_PX * frame.height / frame.width))
        small = cv2.resize(frame.rgb(2 * _WIDTH_PX), (_WIDTH_PX, height))
        pictures.append(np.asarray(small, np.uint8))
    while len(pictures) % COLUMNS and len(pictures) > COLUMNS:
        pictures.append(np.zeros_like(pictures[0]))
    sheet: NDArray[np.uint8] = np.vstack(
        [np.hstack(pictures[at : at + COLUMNS]) for at in range(0, len(pictures), COLUMNS)]
    )
    written, data = cv2.imencode(
        ".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    assert written
    return data.tobytes()
