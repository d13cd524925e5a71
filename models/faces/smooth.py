"""Zero-phase smoothing against detector jitter, never across a cut or a gap.

A local parabola (Savitzky-Golay) rather than an average: it keeps the height of quick moves, such
as lips that close for two frames only, and delays nothing. Cost is linear in the frames.
"""

import numpy as np
from jaxtyping import Float32

from models.arrays import FrameMask
from models.faces.mesh.align import Pose

LANDMARK_WINDOW_S = 0.13
"""Window for points that speech moves: short, a closure lasts 0.06 to 0.1 s."""

POSE_WINDOW_S = 0.28
"""Window for the head's pose, which moves more slowly than lips."""


def valid_runs(valid: FrameMask, scene_start: FrameMask) -> list[tuple[int, int]]:
    """Ranges [start, stop) of valid frames of one scene each.

    Args:
        valid: the face is seen.
        scene_start: true for the first frame after each cut.
    """
    n = len(valid)
    if n == 0:
        return []
    begins = valid & (scene_start | ~np.concatenate([[False], valid[:-1]]))
    ends = valid & np.concatenate([scene_start[1:] | ~valid[1:], [True]])
    return list(
        zip(np.flatnonzero(begins).tolist(), (np.flatnonzero(ends) + 1).tolist(), strict=True)
    )


def smooth_landmarks(
    values: Float32[np.ndarray, " frame *rest"],
    valid: FrameMask,
    *,
    scene_start: FrameMask,
    frame_rate_hz: float,
    window_s: float = LANDMARK_WINDOW_S,
) -> Float32[np.ndarray, " frame *rest"]:
    """Smooth any per-frame array along time; invalid rows stay as they are."""
    out = values.astype(np.float32, copy=True)
    window = _odd_window(window_s, frame_rate_hz)
    for start, stop in valid_runs(valid, scene_start):
        width = min(window, stop - start - 1 + (stop - start) % 2)
        if width >= 5:
            out[start:stop] = _parabolas(out[start:stop], width)
        elif window >= 3 and stop - start >= 3:
            out[start + 1 : stop - 1] = (
                0.2 * values[start : stop - 2]
                + 0.6 * values[start + 1 : stop - 1]
                + 0.2 * values[start + 2 : stop]
            )
    return out


def smooth_pose(
    pose: Pose, valid: FrameMask, *, scene_start: FrameMask, frame_rate_hz: float
) -> Pose:
    """Smooth a pose's scale, rotation and translation along time."""
    packed = np.concatenate(
        [np.log(np.maximum(pose.scale, 1e-6))[:, None], pose.translation], axis=1
    )
    packed = np.concatenate([packed, pose.rotation.reshape(-1, 9)], axis=1).astype(np.float32)
    smooth = smooth_landmarks(
        packed, valid, scene_start=scene_start, frame_rate_hz=frame_rate_hz, window_s=POSE_WINDOW_S
    )
    u, _, vt = np.linalg.svd(smooth[:, 4:].reshape(-1, 3, 3))
    sign = np.ones((len(u), 3), np.float32)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, None]) @ vt
    keep = ~valid
    rotation[keep] = pose.rotation[keep]
    return Pose(
        np.where(valid, np.exp(smooth[:, 0]), pose.scale).astype(np.float32),
        rotation.astype(np.float32),
        smooth[:, 1:4].astype(np.float32),
    )


def _parabolas(
    values: Float32[np.ndarray, " frame *rest"], width: int
) -> Float32[np.ndarray, " frame *rest"]:
    """The parabola that fits best around each row, there; at the ends that of the last `width`.

    As `scipy.signal.savgol_filter` of order 2 in its mode "interp", which takes a second to import.
    """
    powers = np.vander(np.arange(width) - width // 2, 3).astype(np.float64)
    fit = powers @ np.linalg.pinv(powers)  # each row gives the parabola's value at that place
    half, count = width // 2, len(values)
    out = np.empty(values.shape, np.float64)
    out[half : count - half] = sum(
        share * values[at : count - width + 1 + at] for at, share in enumerate(fit[half])
    )
    out[:half] = np.tensordot(fit[:half], values[:width], 1)
    out[count - half :] = np.tensordot(fit[half + 1 :], values[-width:], 1)
    return out.astype(np.float32)


def _odd_window(window_s: float, frame_rate_hz: float) -> int:
    """The odd number of frames nearest to a duration."""
    return 2 * round((window_s * frame_rate_hz - 1) / 2) + 1
