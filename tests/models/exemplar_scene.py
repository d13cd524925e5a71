"""A made-up speaker for the exemplar tests: a mean face that opens its mouth, with texture."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.exemplar.lenders import Bank
from models.faces.crop.crop import crop_size, crop_transforms, cut, to_crop
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import MOUTH

Floats = NDArray[np.float32]

MEAN_FACE: Floats = load_file(
    Path(__file__).parents[2] / "models" / "faces" / "mesh" / "mean_face.safetensors"
)["mean_face"]

SCALE = 150.0


def closed_face() -> Floats:
    """(478, 3): the mean face with the gap between its lips shut."""
    face = MEAN_FACE.copy()
    gap = face[14, 1] - face[13, 1]
    lower = (face[:, 1] > face[78, 1]) & (np.abs(face[:, 0]) < 0.2)
    ramp = np.clip(1 - np.abs(face[:, 0]) / 0.15, 0, 1)
    face[lower, 1] -= gap * ramp[lower]
    return face


def opened(amount: Floats) -> Floats:
    """Faces (frame, 478, 3) whose lower lip and jaw hang by `amount` [face heights]."""
    face = closed_face()
    lower = face[:, 1] > face[78, 1] + 1e-4
    ramp = np.clip(1.7 - np.abs(face[:, 0]) / 0.15, 0, 1) * lower
    out = np.repeat(face[None], len(amount), 0)
    out[:, :, 1] += amount[:, None] * ramp
    return out


def still_pose(frames: int, *, scale: float = SCALE, x: float = 160, y: float = 100) -> Pose:
    """A head that looks straight ahead and does not move."""
    return Pose(
        np.full(frames, scale, np.float32),
        np.repeat(np.eye(3, dtype=np.float32)[None], frames, 0),
        np.tile(np.array([x, y, 0], np.float32), (frames, 1)),
    )


def texture(height: int = 240, width: int = 320, *, seed: int = 0) -> NDArray[np.uint8]:
    """Skin-like, smooth but nowhere flat, (height, width, 3) uint8."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3)).astype(np.float32)
    picture = 130 + 220 * cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(picture, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """Frames of the made-up speaker, all with one picture."""

    frame: NDArray[np.uint8]
    pose: Pose
    faces: Floats
    landmarks: Floats
    size: int
    transforms: Floats

    @property
    def mouth(self) -> Floats:
        return self.faces[:, list(MOUTH)]

    @property
    def crop(self) -> NDArray[np.uint8]:
        return cut(self.frame, self.transforms[0], self.size)

    @property
    def square(self) -> Floats:
        return self.size * np.eye(2, 3, dtype=np.float32)

    @property
    def crop_landmarks(self) -> Floats:
        return to_crop(self.landmarks, self.transforms)


def make_scene(amount: Floats) -> Scene:
    pose = still_pose(len(amount))
    faces = opened(amount)
    size = crop_size(pose.scale, np.ones(len(amount), bool))
    return Scene(
        texture(), pose, faces, pose.to_image(faces), size, crop_transforms(pose, size=size)
    )


def make_bank(amount: Floats, *, run: NDArray[np.int32] | None = None) -> Bank:
    rows = len(amount)
    return Bank(
        mouth=opened(amount)[:, list(MOUTH)],
        pose=still_pose(rows),
        time_s=np.arange(rows) / 25,
        run=np.zeros(rows, np.int32) if run is None else run,
        quality=np.ones(rows, np.float32),
    )


NEUTRAL: Floats = closed_face()[list(MOUTH)]
