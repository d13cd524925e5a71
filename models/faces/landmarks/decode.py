"""Before and after FAN: the square of the frame that it sees, and the points in its heatmaps.

Convention: x to the right, y down. The network's input is a square of the frame, 256 x 256, of
side 200 x `scale` frame px; its heatmaps are 64 x 64. Heatmap points lie half a pixel above
zero-based indices (a peak at index 10 is at 10.5), as face-alignment has them.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from models.arrays import Picture

FacePoints = Float[np.ndarray, "*batch k 2"]  # x, y

CROP_SIDE_PX = 256
HEATMAP_SIDE_PX = 64
SQUARE_SIDE_PX = 200
"""Side in the frame of the square at scale 1."""

BOX_AT_SCALE_1_PX = 195
"""Width and height together of a face box at scale 1."""

_MIRRORED = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # bridge of the nose
    *range(35, 30, -1),  # nostrils
    *(45, 44, 43, 42, 47, 46),  # eyes
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),  # lips
    *range(59, 54, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
)
"""Which point a point becomes when the face is mirrored."""


def square_of_box(
    boxes: Float[np.ndarray, "n corners"],
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, " n"]]:
    """The squares to crop around face boxes.

    Args:
        boxes: x0, y0, x1, y1 [frame px]; what follows them is not read.

    Returns:
        Centres x, y [frame px] and scales.
    """
    x0, y0, x1, y1 = np.asarray(boxes, np.float64)[:, :4].T
    width, height = x1 - x0, y1 - y0
    centres = np.stack([x1 - width / 2, y1 - height / 2 - 0.12 * height], 1)
    return centres, (width + height) / BOX_AT_SCALE_1_PX


def crop(
    rgb: Picture, centre: Float64[np.ndarray, "2"], scale: float
) -> UInt8[np.ndarray, "256 256 3"]:
    """The square of a frame that FAN sees, RGB; black outside of the frame.

    Args:
        rgb: the frame.
        centre: x, y of the square [frame px].
        scale: of the square.
    """
    from face_alignment.utils import crop as cut

    found = cut(rgb, centre, scale, float(CROP_SIDE_PX))
    return np.asarray(found, np.uint8)


def mirrored(heatmaps: Float[Tensor, "n 68 h w"]) -> Float[Tensor, "n 68 h w"]:
    """Heatmaps of mirrored faces as those of the faces themselves, to be added to theirs."""
    return heatmaps[:, list(_MIRRORED)].flip(-1)


def peaks(
    heatmaps: Float32[np.ndarray, "*batch h w"],
) -> tuple[Float32[np.ndarray, "*batch 2"], Float32[np.ndarray, "*batch"]]:
    """Points x, y [heatmap px] of heatmaps and their scores, the heights of the peaks.

    The highest pixel, moved a quarter towards its larger neighbour in x and y; not at the border.
    """
    height, width = heatmaps.shape[-2:]
    maps = heatmaps.reshape(-1, height, width)
    which = np.arange(len(maps))
    row, column = np.divmod(maps.reshape(len(maps), -1).argmax(1), width)
    inside = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    # clipped only so that the lookups are legal; `inside` is what decides
    y, x = row.clip(1, height - 2), column.clip(1, width - 2)
    slope = np.stack(
        [
            maps[which, y, x + 1] - maps[which, y, x - 1],
            maps[which, y + 1, x] - maps[which, y - 1, x],
        ],
        1,
    )
    points = np.stack([column, row], 1) + 0.5 + 0.25 * np.sign(slope) * inside[:, None]
    scores = maps[which, row, column]
    shape = heatmaps.shape[:-2]
    return points.astype(np.float32).reshape(*shape, 2), scores.reshape(shape)


def to_frame(
    points: FacePoints,
    centre: Float64[np.ndarray, "*batch 2"],
    scale: Float64[np.ndarray, "*batch"],
) -> Float64[np.ndarray, "*batch k 2"]:
    """Points in heatmap px → the same in frame px, not rounded.

    face-alignment truncates the points to whole pixels (`np.trunc`); so must whoever wants its
    numbers.

    Args:
        points: x, y [heatmap px].
        centre: x, y of the squares, of `square_of_box` [frame px].
        scale: of the squares.
    """
    side = SQUARE_SIDE_PX * np.asarray(scale)[..., None, None]
    found = (points.astype(np.float64) / HEATMAP_SIDE_PX - 0.5) * side + centre[..., None, :]
    return np.asarray(found)
