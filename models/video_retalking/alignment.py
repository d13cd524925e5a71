"""FFHQ-style cuts of VideoReTalking: the face of the first frame, and the upright face of each.

Convention: pixel centres lie at whole numbers in landmarks and quads, x first. A quad is top left,
bottom left, bottom right, top right. Sampling is Pillow's, where they lie at a half.

Karras et al., "A Style-Based Generator Architecture", 2019, appendix C; public repository:
OpenTalker/video-retalking (`utils/ffhq_preprocess.py`, `utils/alignment_stit.py`).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Real, UInt8
from numpy.typing import NDArray
from PIL import Image

from models.arrays import Picture

Quad = Float[np.ndarray, "4 2"]  # top left, bottom left, bottom right, top right: x, y [px]

_Floats = NDArray[np.floating[Any]]

LEFT_EYE = slice(36, 42)
RIGHT_EYE = slice(42, 48)
MOUTH_CORNERS = (48, 54)
"""Of the 68 landmarks."""
FFHQ_SIDE = 512
"""Side for which the first frame's cut is made; much larger faces are halved first [px]."""
FACE_SIDE = 256
"""Side of the upright faces [px]."""


class FaceCut(NamedTuple):
    """An axis-aligned cut in two steps, as the first frame with a face sets it for a video.

    Attributes:
        outer: (x0, y0, x1, y1), whole pixels of the frame.
        inner: (x0, y0, x1, y1) in the outer cut [px]; whole pixels by truncation.
    """

    outer: tuple[int, int, int, int]
    inner: tuple[float, float, float, float]

    def cut(
        self, frame: UInt8[np.ndarray, "height width channel"]
    ) -> UInt8[np.ndarray, "cut_height cut_width channel"]:
        """Part of the frame, a view."""
        for x0, y0, x1, y1 in (self.outer, self.inner):
            frame = frame[int(y0) : int(y1), int(x0) : int(x1)]
        return frame


def face_quads(landmarks: Float[np.ndarray, "*face 68 2"]) -> Float[np.ndarray, "*face 4 2"]:
    """The upright square around each face: FFHQ's oriented crop.

    Args:
        landmarks: [px].

    Returns:
        Top left, bottom left, bottom right, top right [px].

    Raises:
        ValueError: there are not 68 landmarks.
    """
    if landmarks.shape[-2:] != (68, 2):
        raise ValueError(f"68 landmarks in x and y are needed, not {landmarks.shape}")
    left = landmarks[..., LEFT_EYE, :].mean(-2)
    right = landmarks[..., RIGHT_EYE, :].mean(-2)
    mouth = (landmarks[..., MOUTH_CORNERS[0], :] + landmarks[..., MOUTH_CORNERS[1], :]) * 0.5
    eyes = (left + right) * 0.5
    across, down = right - left, mouth - eyes
    x = across - _turned(down)
    length = np.maximum(2.0 * np.hypot(*_xy(across)), 1.8 * np.hypot(*_xy(down)))
    x = x / np.hypot(*_xy(x))[..., None] * length[..., None]
    y = _turned(x)
    centre = eyes + 0.1 * down
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y], axis=-2)


def ffhq_cut(landmarks: Real[np.ndarray, "68 2"], frame_size: tuple[int, int]) -> FaceCut:
    """The axis-aligned cut that holds the first frame's face, for all frames of a video.

    Args:
        landmarks: In whole pixels.
        frame_size: (width, height) [px].

    Returns:
        The cut. Its lower edge is limited by the frame's width, as in the published code; slices
        end at the frame anyway.
    """
    width, height = frame_size
    quad = face_quads(np.asarray(landmarks, np.float64))
    side = float(np.hypot(*(quad[3] - quad[0])))
    shrink = math.floor(side / FFHQ_SIDE * 0.5)
    if shrink > 1:
        quad, side = quad / shrink, side / shrink
        width, height = round(width / shrink), round(height / shrink)
    x0, y0, x1, y1 = outer = _bounds(quad, side, (width, height))
    if x1 - x0 < width or y1 - y0 < height:
        quad = quad - (x0, y0)
    quad = quad + 0.5
    inner = (
        max(min(quad[0, 0], quad[1, 0]), 0),
        max(min(quad[0, 1], quad[3, 1]), 0),
        min(max(quad[2, 0], quad[3, 0]), width),
        min(max(quad[1, 1], quad[2, 1]), width),
    )
    return FaceCut(outer, (float(inner[0]), float(inner[1]), float(inner[2]), float(inner[3])))


def scene_box(
    landmarks: Real[np.ndarray, "68 2"], frame_size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """What `ffhq_cut` cuts out, for frames of any size and shape.

    Its lower edge is limited by the frame's height, and large faces are not halved.

    Args:
        landmarks: [px].
        frame_size: (width, height) [px].

    Returns:
        x0, y0, x1, y1 [px], ends excluded; empty for a face outside the frame.
    """
    quad = face_quads(np.asarray(landmarks, np.float64)) + 0.5
    low = np.minimum(quad[0], (quad[1, 0], quad[3, 1]))
    high = np.maximum(quad[2], (quad[3, 0], quad[1, 1]))
    x0, y0, x1, y1 = (
        np.trunc(np.concatenate([np.maximum(low, 0), np.minimum(high, frame_size)]))
        .astype(int)
        .tolist()
    )
    return x0, y0, x1, y1


def crop_face(image: Picture, quad: Quad) -> UInt8[np.ndarray, "256 256 3"]:
    """The face in the quad, upright.

    Args:
        image: Any colour order.
        quad: From `face_quads`.
    """
    picture, quad = Image.fromarray(image), np.asarray(quad, np.float64)
    # Here the published code measures the diagonal, in the first frame's cut the side.
    length = float(np.hypot(*(quad[3] - quad[1])))
    shrink = math.floor(length / FACE_SIDE * 0.5)
    if shrink > 1:
        small = (round(picture.width / shrink), round(picture.height / shrink))
        picture = picture.resize(small, Image.Resampling.LANCZOS)
        quad, length = quad / shrink, length / shrink
    x0, y0, x1, y1 = _bounds(quad, length, picture.size)
    if x1 - x0 < picture.width or y1 - y0 < picture.height:
        picture, quad = picture.crop((x0, y0, x1, y1)), quad - (x0, y0)
    corners = (quad + 0.5).flatten().tolist()
    size = (FACE_SIDE, FACE_SIDE)
    face = picture.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(face)


def face_coefficients(quad: Quad) -> Float64[np.ndarray, "8"]:
    """The perspective transform that takes the image back to the upright face.

    Args:
        quad: From `face_quads`.

    Returns:
        a..h with face x = (a x + b y + c) / (g x + h y + 1), y = (d x + e y + f) / (...),
        half pixels counted from the corner, as Pillow takes them.
    """
    face = FACE_SIDE * np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float64)
    rows = []
    for (x, y), (u, v) in zip(np.asarray(quad, np.float64) + 0.5, face, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    return np.asarray(np.linalg.solve(np.array(rows), face.flatten()), np.float64)


def paste_face(
    image: Picture, face: UInt8[np.ndarray, "side side 3"], coefficients: Float[np.ndarray, "8"]
) -> Picture:
    """The image with the upright face warped back into it, edges hard.

    Args:
        image: Any colour order.
        face: In the same colour order.
        coefficients: From `face_coefficients`.
    """
    height, width = image.shape[:2]
    warped = np.asarray(
        Image.fromarray(face)
        .convert("RGBA")
        .transform(
            (width, height),
            Image.Transform.PERSPECTIVE,
            coefficients.tolist(),
            Image.Resampling.BILINEAR,
        )
    )
    return np.where(warped[..., 3:] > 0, warped[..., :3], image)


def _bounds(
    quad: NDArray[np.float64], length: float, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The quad's box with a border of a tenth of the length (3 pixels or more), in the image."""
    border = max(round(length * 0.1), 3)
    (x0, y0), (x1, y1) = np.floor(quad.min(0)), np.ceil(quad.max(0))
    return (
        max(int(x0) - border, 0),
        max(int(y0) - border, 0),
        min(int(x1) + border, size[0]),
        min(int(y1) + border, size[1]),
    )


def _turned(vectors: _Floats) -> _Floats:
    """(x, y) → (-y, x)."""
    turned: _Floats = vectors[..., ::-1] * np.array([-1, 1])
    return turned


def _xy(vectors: _Floats) -> tuple[_Floats, _Floats]:
    return vectors[..., 0], vectors[..., 1]
