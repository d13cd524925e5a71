"""LSE-D and LSE-C: how far apart lips and sound are, and how clearly one shift is best.

Chung and Zisserman 2016, and Prajwal et al. 2020, section 5; the exact procedure is that of the
public repositories joonson/syncnet_python and Rudrabha/Wav2Lip (evaluation). Video is 25 frames a
second, sound 16 kHz.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from models.syncnet.network import FRAMES, STEPS

WindowEmbeddings = Float[Tensor, "window feature"]  # embeddings of windows

SAMPLES_PER_FRAME = 640
STEPS_PER_FRAME = 4
"""MFCC steps from one frame to the next."""
SHIFT = 15
"""Largest shift looked at, either way [frames]."""
MEDIAN = 9
"""Frames under the median filter of the confidence by frame."""


@dataclass(frozen=True)
class Synchrony:
    """How well lips and sound agree.

    Attributes:
        offset: Frames by which the lips are late (negative: the sound is).
        min_distance: LSE-D, the mean distance at the best shift; lower is better.
        confidence: LSE-C, the median over shifts less the minimum; higher is better.
        mean_distance: By shift, from the earliest sound to the latest.
        frame_confidence: The confidence of each window at the best shift, median filtered.
    """

    offset: int
    min_distance: float
    confidence: float
    mean_distance: Float[Tensor, " shift"]
    frame_confidence: Float[Tensor, " window"]


def n_windows(frames: int, samples: int) -> int:
    """Windows that are scored; the last possible one never is, as published."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - FRAMES)


def window_starts(windows: int) -> Int64[np.ndarray, " {windows}"]:
    """The first MFCC step of each window; its first frame is its number."""
    return STEPS_PER_FRAME * np.arange(windows)


def mfcc_windows(
    mfcc: Float[Tensor, "step 13"], windows: int
) -> Float[Tensor, "{windows} 1 13 20"]:
    """The network's input for each window, as a view of the MFCCs."""
    needed = STEPS_PER_FRAME * (windows - 1) + STEPS
    if windows < 1 or len(mfcc) < needed:
        raise ValueError(f"{windows} windows need {needed} MFCC steps, there are {len(mfcc)}")
    return mfcc.unfold(0, STEPS, STEPS_PER_FRAME)[:windows].unsqueeze(1)


def shifted_distances(
    lips: WindowEmbeddings, audio: WindowEmbeddings, *, shift: int = SHIFT
) -> Float[Tensor, "window 2*{shift}+1"]:
    """Distances of each window's lips to the sound around it.

    Column k holds the sound of window i + k - shift. Beyond its ends the sound is a zero vector,
    which counts like any other, as published.

    Args:
        lips: Embeddings of the lips.
        audio: Embeddings of the sound.
        shift: Windows either way.
    """
    if lips.shape != audio.shape or lips.ndim != 2 or not len(lips):
        raise ValueError(
            f"expected two (window, feature), got {tuple(lips.shape)} and {tuple(audio.shape)}"
        )
    padded = F.pad(audio, (0, 0, shift, shift))
    columns = [F.pairwise_distance(lips, padded[k:][: len(lips)]) for k in range(2 * shift + 1)]
    return torch.stack(columns, dim=1)


def synchrony(distances: Float[Tensor, "window shift"]) -> Synchrony:
    """The metrics from the distances of `shifted_distances`."""
    mean = distances.mean(dim=0)
    least, best = mean.min(dim=0)
    middle = mean.median()
    around = F.pad(middle - distances[:, best], (MEDIAN // 2, MEDIAN // 2))
    return Synchrony(
        offset=distances.shape[1] // 2 - int(best),
        min_distance=float(least),
        confidence=float(middle - least),
        mean_distance=mean,
        frame_confidence=around.unfold(0, MEDIAN, 1).median(dim=1).values,
    )
