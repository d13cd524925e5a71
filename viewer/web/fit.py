"""Draws rows of a fitted face model, for `dubflow inspect`: python -m viewer.web.fit

The network's library takes seconds to load, so a process draws some rows at once.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.artifacts.store import Store
from viewer.web.child import run

ROWS = 16
"""Drawn at once, one below the other."""

CAMERA_PX = 256
"""Of the square that transforms lead to (`models.face_fit.crop`); pictures of it are smaller."""


def drawn(request: dict[str, Any], tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Draw ROWS rows of the `face_fit` `key` of `store`, from `first` on, into `target`, RGBA."""
    from viewer.face_fit import rendered_faces

    store = Store(request["store"])
    fit = store.get("face_fit", request["key"])
    rows = range(request["first"], min(request["first"] + ROWS, fit.sizes["frame"]))
    faces = rendered_faces(fit, store.get(*fit.manifest.inputs["person"]), rows)
    strip = np.vstack([np.dstack([f[..., ::-1], 255 * m.astype(np.uint8)]) for f, m in faces])
    assert cv2.imwrite(request["target"], strip)
    return {}


def in_frame(
    strip: NDArray[np.uint8],
    row: int,
    transform: NDArray[np.float32],
    box: tuple[int, int, int, int],
) -> NDArray[np.uint8]:
    """A row of a strip as it lies in the frame: the box x0, y0, x1, y1 [frame px] of it, BGRA.

    Args:
        strip: Of `drawn`.
        row: In it.
        transform: Frame px to px of the fit's square, of CAMERA_PX.
        box: What is given.
    """
    x0, y0, x1, y1 = box
    side = strip.shape[1]
    scaled = transform.astype(np.float64) * side / CAMERA_PX
    linear = scaled[:, :2]
    # Pixel centres: integers + 0.5 here, integers in OpenCV.
    shift = linear @ (x0 + 0.5, y0 + 0.5) + scaled[:, 2] - 0.5
    matrix = np.column_stack([linear, shift])
    picture = strip[row * side : (row + 1) * side]
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, (x1 - x0, y1 - y0), flags=how), np.uint8)


if __name__ == "__main__":
    run(drawn)
