"""A contact sheet of a video: some of its frames, evenly over its length, in one small picture."""

from pathlib import Path

import cv2
import numpy as np

from stores.media.glance import glance
from viewer.gallery import tiled

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
    sheet = tiled(pictures, columns=min(COLUMNS, len(pictures)))
    written, data = cv2.imencode(
        ".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    assert written
    return data.tobytes()
