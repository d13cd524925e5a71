"""Sharpness by the cumulative probability of blur detection (Narvekar and Karam 2011).

The numbers are those of python-cpbd, which papers on talking faces report, its deviations from the
paper included: Canny's thresholds are meant for 0..1 images, and Sobel's compares a squared value
with one that is not.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy.typing import NDArray
from scipy.ndimage import convolve
from skimage.feature import canny

Gray = Float64[np.ndarray, "h w"]  # 0..255
Edges = Bool[np.ndarray, "h w"]  # whether a pixel is on an edge

BLOCK_SIDE_PX = 64

EDGE_BLOCK_SHARE = 0.002
"""A block takes part where more than this share of its pixels are (Canny) edges."""

BETA = 3.6
"""Slope of the psychometric function."""

FINEST_BIN = 64
"""Bins of one per cent below which blur is not noticed: at the just noticeable width, P is 63 %."""

LONGEST_RUN_PX = 100


def cpbd(gray: UInt8[np.ndarray, "h w"]) -> float:
    """Share of the edges of an image whose blur nobody notices: 1 is sharp, 0 is not.

    Whole 64 x 64 blocks from the top left take part, what remains on the right and below does not;
    an image without edges scores 0.
    """
    if gray.ndim != 2 or min(gray.shape) < BLOCK_SIDE_PX:
        side = BLOCK_SIDE_PX
        raise ValueError(
            f"sharpness takes a gray image of at least {side} x {side}, not {gray.shape}"
        )
    image = gray.astype(np.float64)
    widths = edge_widths(image, sobel_edges(image))
    edges = canny_edges(image)
    noticed = np.concatenate(
        [
            _probability_of_blur(widths[block], image[block])
            for block in _blocks(*image.shape)
            if np.count_nonzero(edges[block]) > EDGE_BLOCK_SHARE * BLOCK_SIDE_PX**2
        ]
        or [np.zeros(0)]
    )
    return float(np.mean(np.round(100 * noticed) < FINEST_BIN)) if noticed.size else 0.0


def canny_edges(image: Gray) -> Edges:
    """Edges that decide which blocks take part, of an image in 0..255."""
    return np.asarray(canny(image))


def sobel_edges(image: Gray) -> Edges:
    """Edges whose width is measured, of an image in 0..255: thin, by horizontal gradient."""
    kernel = np.outer([1, 2, 1], [1, 0, -1]) / 8
    strength = convolve(image, kernel) ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    inner = np.s_[1:-1]
    framed = np.pad(strength, 1)
    across = (strength > framed[inner, :-2]) & (strength > framed[inner, 2:])
    along = (strength > framed[:-2, inner]) & (strength > framed[2:, inner])
    return np.asarray(across | along)


def edge_widths(image: Gray, edges: Edges) -> Int64[np.ndarray, "h w"]:
    """Width [px] of the edge at each pixel along its row, 0 where none was measured.

    How far the brightness goes on rising (or falling) to both sides (Marziliano et al. 2002); only
    where the gradient is within 22.5 degrees of the row, and not in the outermost rows and columns.
    """
    gradient_y, gradient_x = np.gradient(image)
    # python-cpbd has no angle, so 0, where the gradient is exactly vertical
    angles = np.where(gradient_x != 0, np.degrees(np.arctan2(gradient_y, gradient_x)), 0)
    if not angles.any():
        return np.zeros(image.shape, np.int64)
    eighths = np.round(angles / 45)
    rising, falling = eighths == 0, np.abs(eighths) == 4
    widths = np.where(rising, _width_of_rise(image), np.where(falling, _width_of_rise(-image), 0))
    measured = np.zeros(image.shape, bool)
    measured[1:-1, 1:-1] = edges[1:-1, 1:-1]
    return np.where(measured, widths, 0)


def _width_of_rise(image: NDArray[np.float64]) -> NDArray[np.int64]:
    """Lengths of the rises of a row that end before each pixel and begin after it, plus the two."""
    height, width = image.shape
    rises = np.diff(image, axis=1) > 0  # [:, i]: from pixel i to i + 1
    until, since = np.zeros((2, height, width), np.int64)
    for column in range(1, width):
        until[:, column] = (until[:, column - 1] + 1) * rises[:, column - 1]
        since[:, -1 - column] = (since[:, -column] + 1) * rises[:, -column]
    around = np.zeros((height, width), np.int64)
    around[:, 1:-1] = (
        until[:, :-2].clip(max=LONGEST_RUN_PX) + since[:, 2:].clip(max=LONGEST_RUN_PX) + 2
    )
    return around


def _probability_of_blur(widths: NDArray[np.int64], image: Gray) -> NDArray[np.float64]:
    """Of each edge in a block; the wider edge is tolerated where contrast is low."""
    noticeable = 5 if int(np.ptp(image)) <= 50 else 3
    return np.asarray(1 - np.exp(-((widths[widths > 0] / noticeable) ** BETA)))


def _blocks(height: int, width: int) -> list[tuple[slice, slice]]:
    side = BLOCK_SIDE_PX
    return [
        (slice(y, y + side), slice(x, x + side))
        for y in range(0, height - side + 1, side)
        for x in range(0, width - side + 1, side)
    ]
