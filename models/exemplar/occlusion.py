"""Is the mouth free? Hands, microphones and glasses of water are neither borrowed nor replaced.

Every face is brought to one shape (the mean mesh) as a small picture; pictures that a low-rank
model of the person's usual ones cannot explain are marked. The inside of the mouth is left out, so
wide-open mouths and teeth are nothing unusual.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.exemplar.crop import CROP_CENTRE, CROP_SIDE
from models.exemplar.mesh import lower_face
from models.exemplar.warp import Raster, rasterise
from models.face_mesh.indices import INNER_LIP

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]

LOOK_SIZE = 32
"""Side of the shape-free picture [px]."""

_UNUSUAL_LEVELS = 26.0
"""A pixel this far from its explanation is unusual [levels of 0..255]."""

_UNUSUAL_SHARE = 0.16
"""Share of unusual pixels from which a mouth counts as covered."""

_RANK = 8
_SAMPLE = 600
"""Frames that the low-rank model is made of, at most."""


@lru_cache(maxsize=2)
def _layout(mean_bytes: bytes) -> tuple[Raster, Bools]:
    """The mean face's raster and which pixels of the picture count."""
    mean = np.frombuffer(mean_bytes, np.float32).reshape(478, 3)
    mesh = lower_face(mean)
    corner = np.array(CROP_CENTRE[:2]) - CROP_SIDE / 2
    flat = (mean[mesh.points, :2] - corner) * (LOOK_SIZE / CROP_SIDE)
    vertices = np.concatenate([flat, mesh.border * LOOK_SIZE]).astype(np.float32)
    depth = np.concatenate([mean[mesh.points, 2], np.full(len(mesh.border), 1e6)])
    raster = rasterise(
        vertices,
        mesh.triangles,
        depth=depth.astype(np.float32),
        size=LOOK_SIZE,
        grid=LOOK_SIZE,
    )
    face = raster.interpolate(mesh.mask[:, None])[..., 0] > 0.3
    lips = ((mean[list(INNER_LIP), :2] - corner) * (LOOK_SIZE / CROP_SIDE)).astype(np.int32)
    inside = np.zeros((LOOK_SIZE, LOOK_SIZE), np.uint8)
    cv2.fillPoly(inside, [lips], (1,))
    around = np.asarray(cv2.dilate(inside, np.ones((3, 3), np.uint8)))
    return raster, np.asarray(face & (around == 0))


def face_look(crop: Image, landmarks: Floats, mean_face: Floats) -> Image:
    """A face's picture in the mean face's shape, (32, 32, 3) uint8 RGB.

    Args:
        crop: (size, size, 3) uint8 RGB, the aligned lower face.
        landmarks: (478, 3) float32 [crop px].
        mean_face: (478, 3) float32, canonical.
    """
    raster, _ = _layout(np.ascontiguousarray(mean_face, np.float32).tobytes())
    mesh = lower_face(mean_face)
    size = crop.shape[0]
    half = 2 * LOOK_SIZE
    small = cv2.resize(crop, (half, half), interpolation=cv2.INTER_AREA)
    vertices = np.concatenate([landmarks[mesh.points, :2], mesh.border * np.float32(size)])
    at = raster.interpolate(vertices * np.float32(half / size)) - np.float32(0.5)
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    look = cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(look, np.uint8)


def covered_share(looks: Image, usable: Bools, *, mean_face: Floats) -> Floats:
    """Share 0..1 of the lower face (frame,) that looks unlike this person's usual one.

    Args:
        looks: (frame, 32, 32, 3) uint8 RGB, from `face_look`; any content where not usable.
        usable: (frame,) bool: frames with a face. Other rows get 1.
        mean_face: (478, 3) float32, canonical.
    """
    out = np.ones(len(looks), np.float32)
    rows = np.flatnonzero(usable)
    if len(rows) == 0:
        return out
    _, counted = _layout(np.ascontiguousarray(mean_face, np.float32).tobytes())
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)]
    seen = _pixels(looks[sample], counted)
    middle = np.median(seen, axis=0)
    far = np.abs(_even(seen, middle) - middle).mean(1)
    usual = seen[far <= np.quantile(far, 0.7)]
    usual = _even(usual, middle) - middle
    rank = min(_RANK, len(usual) // 12)
    basis = np.linalg.svd(usual, full_matrices=False)[2][:rank]
    for start in range(0, len(rows), 512):
        part = rows[start : start + 512]
        rest = _even(_pixels(looks[part], counted), middle) - middle
        rest = rest - (rest @ basis.T) @ basis
        unusual = np.abs(rest).reshape(len(part), -1, 3).max(-1) > _UNUSUAL_LEVELS
        out[part] = unusual.mean(1)
    return out


def covered_frames(share: Floats, usable: Bools) -> Bools:
    """Which frames show a covered mouth (frame,) bool, with a margin of two frames around each."""
    marked = (share > _UNUSUAL_SHARE) & usable
    # One marked frame alone is noise as often as a hand; a hand stays.
    steady = np.convolve(marked, np.ones(3), mode="same") >= 2
    return np.asarray(np.convolve(marked & steady, np.ones(5), mode="same") > 0) & usable


def mouth_quality(share: Floats, usable: Bools) -> Floats:
    """Quality 0..1 (frame,) float32 for `Bank.quality`: 1 clear, 0 covered."""
    return np.where(usable, np.clip(1 - share / _UNUSUAL_SHARE, 0, 1), 0).astype(np.float32)


def opacity(shown: Bools, *, scene_start: Bools, fade_frames: int) -> Floats:
    """Opacity 0..1 (frame,) float32 that falls to 0 before frames not to be rendered.

    Args:
        shown: (frame,) bool: valid face, free mouth.
        scene_start: (frame,) bool; across a cut nothing fades.
        fade_frames: length of a fade [frames].
    """
    out = shown.astype(np.float32)
    level = np.inf
    for frames in (range(len(shown)), range(len(shown) - 1, -1, -1)):
        level = np.inf
        for frame in frames:
            cut_at = frame if frames.step > 0 else frame + 1
            if cut_at < len(shown) and scene_start[cut_at]:
                level = np.inf
            level = 0.0 if not shown[frame] else level + 1.0
            out[frame] = min(out[frame], level / (fade_frames + 1))
    return out


def _pixels(looks: Image, counted: Bools) -> Floats:
    return np.asarray(looks[:, counted].reshape(len(looks), -1), np.float32)


def _even(pixels: Floats, middle: Floats) -> Floats:
    """Take out each picture's own brightness and colour cast against the usual picture."""
    apart = (pixels - middle).reshape(len(pixels), -1, 3)
    cast = np.median(apart, axis=1, keepdims=True)
    even = (apart - np.clip(cast, -40, 40)).reshape(pixels.shape)
    return np.asarray(even + middle, np.float32)
