"""Frames with a face."""

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media_factory import EXAMPLE

Frames = list[NDArray[np.uint8]]


@pytest.fixture(scope="session")
def frames() -> Frames:
    """Frames 100 to 115 of the example, 400 x 300."""
    with av.open(str(EXAMPLE)) as video:
        found = []
        for index, frame in enumerate(video.decode(video=0)):
            if index >= 116:
                break
            if index >= 100:
                found.append(frame.to_ndarray(format="rgb24"))
    return found
