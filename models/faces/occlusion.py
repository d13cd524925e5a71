"""Occlusion of the mouth: finding the frames in which a hand, microphone or glass covers it.

Covered mouths are neither borrowed nor replaced. Every face is warped to one shape (the mean mesh)
as a small picture; pictures that a low-rank model of the person's usual ones cannot explain are
marked. The inside of the mouth is left out, so wide-open mouths and teeth are nothing unusual.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from models.arrays import Crop, FrameMask, FrameValues, Looks, Mesh, Transform
from models.faces.crop.crop import CROP_CENTRE, CROP_SIDE
from models.faces.crop.lower_face import lower_face
from models.faces.crop.warp import Raster, rasterise
from models.faces.mesh.align import Pose, pose_descriptor
from models.faces.mesh.indices import INNER_LIP
from models.sampling.rows import spread

_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]
_Image = NDArray[np.uint8]

LOOK_SIZE = 32
"""Side of the shape-free picture [px]."""

MAX_YAW_RAD = 0.8
"""A head turned farther shows half a mouth: the mesh only guesses the other half."""

COVERED_SHARE = 0.12
"""Share of unusual pixels from which a mouth counts as covered."""

_UNUSUAL_LEVELS = 20.0
"""A pixel this far from its explanation is unusual [levels of 0..255]."""

_RANK = 12
_SAMPLE = 300
"""Frames that a scene's model is made of, at most."""

_ENOUGH_FRAMES = 40
"""Shorter scenes say too little of what is usual in them; their mouths count as free."""

_FIRST_TRUSTED = 0.4
"""Share of a scene's frames, the nearest to the median picture, that the model starts from."""

_TRUSTED_SHARE = 0.08
"""Frames with a smaller unusual share join the model in the next round."""

_ROUNDS = 6

_MARGIN_FRAMES = 4
"""Frames around a covered mouth that count as covered too: the hand is on its way."""


@lru_cache(maxsize=2)
def _layout(mean_bytes: bytes) -> tuple[Raster, _Bools]:
    """The mean face's raster and which pixels of the picture count."""
    mean = np.frombuffer(mean_bytes, np.float32).reshape(478, 3)
    mesh = lower_face(mean)
    corner = np.array(CROP_CENTRE[:2]) - CROP_SIDE / 2
    flat = (mean[mesh.points, :2] - corner) * (LOOK_SIZE / CROP_SIDE)
    vertices = np.concatenate([flat, mesh.border * LOOK_SIZE]).astype(np.float32)
    depth = np.concatenate([mean[mesh.points, 2], np.full(len(mesh.border), 1e6)])
    raster = rasterise(
        vertices, mesh.triangles, depth=depth.astype(np.float32), size=LOOK_SIZE, grid=LOOK_SIZE
    )
    face = raster.interpolate(mesh.mask[:, None])[0] > 0.3
    return raster, np.asarray(face & (_inner_lips(mean, grown=3) == 0))


def _inner_lips(mean: _Floats, *, grown: int) -> _Image:
    """(32, 32) uint8: 1 between the lips, grown by a square of so many pixels."""
    corner = np.array(CROP_CENTRE[:2]) - CROP_SIDE / 2
    lips = ((mean[list(INNER_LIP), :2] - corner) * (LOOK_SIZE / CROP_SIDE)).astype(np.int32)
    inside = np.zeros((LOOK_SIZE, LOOK_SIZE), np.uint8)
    cv2.fillPoly(inside, [lips], (1,))
    return np.asarray(cv2.dilate(inside, np.ones((grown, grown), np.uint8)), np.uint8)


def face_look(
    crop: Crop, landmarks: Mesh, mean_face: Mesh, *, square: Transform | None = None
) -> UInt8[np.ndarray, "32 32 3"]:
    """A small RGB picture of a face, warped to the mean face's shape.

    Args:
        crop: RGB, the lower face.
        landmarks: its mesh [crop px].
        mean_face: canonical.
        square: where the aligned crop lies in this one (`crop.face_squares`); None: it is aligned.
    """
    raster, _ = _layout(np.ascontiguousarray(mean_face, np.float32).tobytes())
    mesh = lower_face(mean_face)
    size = len(crop)
    if square is None:
        square = size * np.eye(2, 3, dtype=np.float32)
    zoom = min(1.0, 2 * LOOK_SIZE / float(np.hypot(square[0, 0], square[1, 0])))
    side = max(1, round(size * zoom))
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    border = mesh.border @ square[:, :2].T + square[:, 2]
    vertices = np.concatenate([landmarks[mesh.points, :2], border]).astype(np.float32)
    at = raster.interpolate(vertices * np.float32(side / size)) - np.float32(0.5)
    look = cv2.remap(small, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(look, np.uint8)


def mouth_interior(looks: Looks, mean_face: Mesh) -> Float32[np.ndarray, "frame pixel"]:
    """Brightness 0..1 of the pixels between the lips: teeth, tongue or darkness.

    Args:
        looks: RGB, from `face_look`.
        mean_face: canonical.
    """
    mean = np.ascontiguousarray(mean_face, np.float32)
    inside = looks[:, _inner_lips(mean, grown=1) > 0].astype(np.float32)
    return np.asarray(inside.mean(-1) / 255, np.float32)


def covered_share(
    looks: Looks,
    usable: FrameMask,
    *,
    mean_face: Mesh,
    scene_start: FrameMask | None = None,
    usual: Looks | None = None,
) -> FrameValues:
    """Share 0..1 of the lower face that looks unlike the scene's usual one.

    Args:
        looks: RGB, from `face_look`; any content where not usable.
        usable: frames with a face. Other rows get 1.
        mean_face: canonical.
        scene_start: true for the first frame after each cut; each scene, having its own light, is
            judged by itself.
        usual: what the usual look is learned from; None: `looks` themselves.
    """
    usual = looks if usual is None else usual
    _, counted = _layout(np.ascontiguousarray(mean_face, np.float32).tobytes())
    starts = [0] if scene_start is None else [0, *(np.flatnonzero(scene_start[1:]) + 1).tolist()]
    out = np.ones(len(looks), np.float32)
    for start, stop in zip(starts, [*starts[1:], len(looks)], strict=True):
        rows = start + np.flatnonzero(usable[start:stop])
        out[rows] = 0
        if len(rows) >= _ENOUGH_FRAMES:
            sample = spread(rows, _SAMPLE)
            middle, basis = _usual_look(_pixels(usual[sample], counted))
            for part in np.array_split(rows, len(rows) // 512 + 1):
                out[part] = _unusual(_even(_pixels(looks[part], counted), middle), basis)
    return out


def _usual_look(seen: _Floats) -> tuple[_Floats, _Floats]:
    """Median picture (pixel,) and basis (rank, pixel) of what pictures (frame, pixel) share.

    Starts from the frames nearest to the median and takes in, round by round, those that the model
    explains: smiles and turns are reached in small steps, a hand is not.
    """
    middle = np.median(seen, axis=0)
    apart = _even(seen, middle)
    far = np.abs(apart).mean(1)
    trusted = far <= np.quantile(far, _FIRST_TRUSTED)
    basis = np.zeros((0, seen.shape[1]), np.float32)
    for _ in range(_ROUNDS):
        usual = apart[trusted]
        rank = min(_RANK, len(usual) // 12)
        if rank == 0:
            break
        values, vectors = np.linalg.eigh(usual @ usual.T)
        basis = (vectors[:, -rank:].T @ usual) / np.sqrt(np.maximum(values[-rank:, None], 1e-3))
        trusted = _unusual(apart, basis) < _TRUSTED_SHARE
    return middle, basis


def _unusual(apart: _Floats, basis: _Floats) -> _Floats:
    """Share (frame,) of pixels that the basis leaves unexplained."""
    rest = apart - (apart @ basis.T) @ basis
    far = np.abs(rest).reshape(len(rest), -1, 3).max(-1) > _UNUSUAL_LEVELS
    return np.asarray(far.mean(1), np.float32)


def covered_frames(share: FrameValues, usable: FrameMask) -> FrameMask:
    """Which frames show a covered mouth, with a margin around each."""
    marked = (share > COVERED_SHARE) & usable
    # One marked frame alone is noise as often as a hand; a hand stays.
    steady = np.convolve(np.pad(marked, 1), np.ones(3), mode="valid") >= 2
    margin = np.ones(2 * _MARGIN_FRAMES + 1)
    near = np.convolve(np.pad(marked & steady, _MARGIN_FRAMES), margin, mode="valid") > 0
    return np.asarray(near & usable)


def facing(pose: Pose) -> FrameMask:
    """Whether the head is turned little enough to render its mouth."""
    return np.asarray(np.abs(pose_descriptor(pose)[:, 0]) < MAX_YAW_RAD)


def mouth_quality(share: FrameValues, usable: FrameMask) -> FrameValues:
    """Quality 0..1 for `Bank.quality`: 1 a clear view of the mouth, 0 a covered one."""
    return np.where(usable, np.clip(1 - share / COVERED_SHARE, 0, 1), 0).astype(np.float32)


def opacity(shown: FrameMask, *, scene_start: FrameMask, fade_frames: int) -> FrameValues:
    """Opacity 0..1 of the rendered mouth, which falls to 0 before frames not to be rendered.

    Args:
        shown: valid face, free mouth.
        scene_start: true for the first frame after each cut; across a cut nothing fades.
        fade_frames: length of a fade [frames].
    """
    out: _Floats = shown.astype(np.float32)
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


def _pixels(looks: _Image, counted: _Bools) -> _Floats:
    return np.asarray(looks[:, counted].reshape(len(looks), -1), np.float32)


def _even(pixels: _Floats, middle: _Floats) -> _Floats:
    """Difference to the usual picture, without each picture's own brightness and colour cast."""
    apart = (pixels - middle).reshape(len(pixels), -1, 3)
    cast = np.clip(np.median(apart, axis=1, keepdims=True), -40, 40)
    return np.asarray((apart - cast).reshape(pixels.shape), np.float32)
