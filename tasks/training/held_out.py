"""The part of a person's video that nothing is trained on: the last fifth of its time."""

import numpy as np
from numpy.typing import NDArray

SHARE = 0.2


def held_out_from(seconds: NDArray[np.float64], share: float = SHARE) -> float:
    """The time from which frames are held out [s].

    Args:
        seconds: (frame,) when each frame is shown [s].
        share: Of the clip's time.
    """
    return float(seconds[0] + (1 - share) * (seconds[-1] - seconds[0]))
