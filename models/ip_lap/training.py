"""Losses as weighted sums, and augmentation, for the training of IP-LAP's two networks.

Convention: landmarks (..., 131, 2) are in px of an upright crop, x to the right; mel is on the
project's scale, on which 0.08 is 1 dB.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from models.audio.mel import MAX_ABS
from models.ip_lap.landmarks import FULL
from models.ip_lap.losses import (
    ClipLandmarks,
    Judged,
    adversarial_loss,
    feature_matching_loss,
    landmark_loss,
    velocity_loss,
)
from models.ip_lap.settings import Settings
from models.tensors import Scalar

WindowLandmarks = Float32[np.ndarray, "sample frame 131 2"]  # landmarks of windows [crop px]
# Landmarks of references [crop px]
ReferenceLandmarks = Float32[np.ndarray, "sample reference 131 2"]
WindowPoints = Float32[np.ndarray, "sample frame point 2"]  # some points of windows [crop px]
WindowBoxes = Float32[np.ndarray, "sample frame 4"]  # x1, y1, x2, y2 [crop px]
Columns = Int64[np.ndarray, "131"]  # for each landmark the column of another
MelBatch = Float32[Tensor, "sample frame 1 80 column"]  # -4..4

Losses = tuple[Scalar, dict[str, Scalar]]
"""The sum, and its parts without their weights."""

DECIBEL = 2 * MAX_ABS / 100
"""Of the mel scale."""


class LandmarkWeights(Settings):
    """How much each loss of the landmark generator counts; as published."""

    l1: float = Field(1.0, ge=0, description="distance of coordinates")
    velocity: float = Field(1.0, ge=0, description="distance of motions: the paper's continuity")


class RendererWeights(Settings):
    """How much each loss of the renderer counts; as published."""

    warping: float = Field(2.5, ge=0, description="features of the warped references")
    perceptual: float = Field(
        4.0,
        ge=0,
        description="features of the face, and their Gram matrices as the backbone weighs them",
    )
    adversarial: float = Field(0.25, ge=0, description="what the critic says")
    matching: float = Field(2.5, ge=0, description="features of the critic")


class Augmentation(Settings):
    """What is changed at random in training; the defaults, as published, change nothing."""

    mirror: float = Field(0.0, ge=0, le=1, description="share of windows seen in a mirror")
    roll_degrees: float = Field(
        0.0, ge=0, le=45, description="heads tilt by so much, standard deviation [deg]"
    )
    box: float = Field(
        0.0, ge=0, le=0.2, description="edges of face boxes move, standard deviation [side]"
    )
    gain_db: float = Field(0.0, ge=0, description="louder or softer, standard deviation [dB]")
    tilt_db: float = Field(
        0.0, ge=0, description="another microphone: smooth curve over the bands, deviation [dB]"
    )
    voice: float = Field(
        0.0, ge=0, le=0.3, description="other vocal tracts: bands stretch by up to this share"
    )
    noise: float = Field(
        0.0, ge=0, le=1, description="share of windows with noise, 10 to 50 dB below the loudest"
    )


def landmark_losses(
    prediction: ClipLandmarks, target: ClipLandmarks, *, weights: LandmarkWeights, frames: int
) -> Losses:
    """The losses of the landmark generator.

    Args:
        prediction: Frames of clips, clip by clip.
        target: Likewise.
        weights: Of the parts.
        frames: Of a clip.
    """
    parts = {
        "l1": landmark_loss(prediction, target),
        "velocity": velocity_loss(prediction, target, frames=frames),
    }
    return weights.l1 * parts["l1"] + weights.velocity * parts["velocity"], parts


def renderer_losses(
    warping: Scalar,
    perceptual: Scalar,
    judged: Judged,
    real: Judged,
    *,
    weights: RendererWeights,
    warming_up: bool,
) -> Losses:
    """The losses of the renderer.

    Args:
        warping: Perceptual loss of the warped references.
        perceptual: Perceptual loss of the generated face.
        judged: What the critic says of the generated face.
        real: And of the true one.
        weights: Of the parts.
        warming_up: Only the alignment learns; the other parts are shown, not learned from.
    """
    parts = {
        "warping": warping,
        "perceptual": perceptual,
        "adversarial": adversarial_loss(judged, real=True),
        "matching": feature_matching_loss(judged, real),
    }
    loss = weights.warping * warping
    later = (
        weights.perceptual * perceptual
        + weights.adversarial * parts["adversarial"]
        + weights.matching * parts["matching"]
    )
    # Not left out: every parameter takes part in each step, as processes that train together need.
    return loss + (0.0 if warming_up else 1.0) * later, parts


def critic_losses(generated: Judged, real: Judged) -> Losses:
    """The losses of the critic: half of what it says wrong of generated and of true faces."""
    parts = {
        "critic_generated": adversarial_loss(generated, real=False),
        "critic_real": adversarial_loss(real, real=True),
    }
    return (parts["critic_generated"] + parts["critic_real"]) / 2, parts


def mirror_columns(mirror: Int[np.ndarray, "478"]) -> Columns:
    """Column of each of the 131 landmarks' partner on the other side of the face.

    Args:
        mirror: Partner of each point of the mesh.
    """
    column = {point: number for number, point in enumerate(FULL)}
    return np.array([column[int(mirror[point])] for point in FULL])


def augment_points(
    windows: WindowLandmarks,
    references: ReferenceLandmarks,
    augmentation: Augmentation,
    *,
    columns: Columns,
    size: float,
    rng: np.random.Generator,
) -> tuple[
    WindowLandmarks,
    ReferenceLandmarks,
    Bool[np.ndarray, " sample"],
    Float64[np.ndarray, "sample 1+reference"],
]:
    """Mirrors landmarks at random, and rolls them about their own centre.

    Args:
        windows: Landmarks [crop px].
        references: Landmarks [crop px].
        augmentation: How much.
        columns: Of `mirror_columns`.
        size: Side of the crop [px].
        rng: Source of chance.

    Returns:
        Both, whether each sample was mirrored, and the angles [rad]: of the window, which rolls as
        a whole, and of each reference.
    """
    samples, count = len(windows), references.shape[1]
    flipped = rng.random(samples) < augmentation.mirror
    angles = np.radians(augmentation.roll_degrees) * rng.standard_normal((samples, 1 + count))

    def seen(points: NDArray[np.float32]) -> NDArray[np.float32]:
        image = points[..., columns, :] * [-1, 1] + [size, 0]
        return np.where(flipped[:, None, None, None], image, points).astype(np.float32)

    return (
        rolled(seen(windows), angles[:, :1]),
        rolled(seen(references), angles[:, 1:]),
        flipped,
        angles,
    )


def rolled(points: WindowPoints, angles: Float64[np.ndarray, " sample #frame"]) -> WindowPoints:
    """Points turned about their mean over all frames of a window, or each frame's about its own.

    Args:
        points: x to the right [crop px].
        angles: One for a window, about its middle, or one for each frame, about its own [rad].
    """
    axes = (1, 2) if angles.shape[1] == 1 else (2,)
    centre = points.mean(axis=axes, keepdims=True)
    c, s = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], axis=-2)
    turn = np.broadcast_to(turn, (*points.shape[:2], 2, 2))
    moved = np.einsum("sfij,sfpj->sfpi", turn, points - centre)
    return np.asarray(moved + centre, np.float32)


def jittered_boxes(
    boxes: WindowBoxes, augmentation: Augmentation, rng: np.random.Generator, *, together: bool
) -> WindowBoxes:
    """Boxes x1, y1, x2, y2 with edges moved at random; those of a window alike if `together`."""
    sides = np.tile(boxes[..., 2:] - boxes[..., :2], 2)
    shape = (len(boxes), 1 if together else boxes.shape[1], 4)
    moved = boxes + augmentation.box * sides * rng.standard_normal(shape)
    return np.asarray(moved, np.float32)


def augment_mel(mel: MelBatch, augmentation: Augmentation, rng: np.random.Generator) -> MelBatch:
    """Imitates other voices, rooms and microphones, alike in all frames of a window.

    Args:
        mel: -4..4.
        augmentation: How much.
        rng: Source of chance.
    """
    samples, bands = len(mel), mel.shape[-2]

    def on_device(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(mel.device)

    if augmentation.voice:
        stretch = 1 + rng.uniform(-augmentation.voice, augmentation.voice, (samples, 1))
        place = np.clip(np.arange(bands) * stretch, 0, bands - 1.001)
        low = torch.from_numpy(place.astype(np.int64)).to(mel.device)
        part = on_device(place - np.floor(place))[:, None, None, :, None]
        index = low[:, None, None, :, None].expand_as(mel)
        mel = mel.gather(3, index) * (1 - part) + mel.gather(3, index + 1) * part
    level = augmentation.gain_db * rng.standard_normal((samples, 1))
    level = level + augmentation.tilt_db * _smooth(samples, bands, 5, rng)
    mel = mel + DECIBEL * on_device(level)[:, None, None, :, None]
    if augmentation.noise:
        below = np.where(
            rng.random((samples, 1)) < augmentation.noise,
            rng.uniform(10, 50, (samples, 1)) + 4 * _smooth(samples, bands, 4, rng),
            1000.0,
        )
        loudest = mel.amax(dim=(1, 2, 3, 4), keepdim=True)
        flicker = rng.standard_normal(mel.shape, np.float32)
        noise = loudest + DECIBEL * (
            2 * torch.from_numpy(flicker).to(mel.device) - on_device(below)[:, None, None, :, None]
        )
        power = np.log(10) / (10 * DECIBEL)
        mel = torch.logaddexp(mel * power, noise * power) / power
    return mel.clamp(-MAX_ABS, MAX_ABS)


def _smooth(samples: int, bands: int, knots: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth random curves (sample, band) of about unit variance."""
    coarse = rng.standard_normal((samples, knots))
    at, knot = np.linspace(0, knots - 1, bands), np.arange(knots)
    return np.stack([np.interp(at, knot, curve) for curve in coarse])
