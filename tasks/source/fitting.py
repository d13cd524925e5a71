"""What the stages of the fit of a face model share: the model, and what is seen of the face."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.audiodvp.face_model import IMAGE_SIZE, FaceModel
from models.face_basis.own import LANDMARKS, N_POINTS
from models.face_fit.basis import BasisName
from models.face_fit.crop import fit_transforms, linked
from models.face_fit.mesh import MeshFit
from models.face_fit.photometric import SIDE
from models.face_fit.settings import FitSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.source.face_basis import face_basis
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.squares import squares
from tasks.source.timeline import load_timeline

_LEVELS = 1
"""Of subdivision of the own basis: enough for pictures of 128 px."""


@dataclass(frozen=True)
class FittedModel:
    """The model whose coefficients are fitted.

    Attributes:
        name: Of its basis.
        model: The face.
    """

    name: BasisName
    model: FaceModel

    @cached_property
    def by_mesh(self) -> MeshFit:
        """Its closed form by the face mesh, of the own basis: the points are its first vertices."""
        return MeshFit(self.model, torch.arange(N_POINTS))

    @cached_property
    def by_landmarks(self) -> MeshFit:
        """Its closed form by the 68 landmarks."""
        return MeshFit(self.model, self.model.landmarks)


@lru_cache(maxsize=2)
def fitted_model(basis: BasisName, key: str | None = None) -> FittedModel:
    """The model on that basis.

    Raises:
        InputError: as `face_basis`.
    """
    return FittedModel(basis, FaceModel(face_basis(basis, key, _LEVELS)))


def basis_facts(basis: Artifact | str, mode: str) -> dict[str, Any]:
    """Attributes of a fit: which basis its numbers belong to.

    Args:
        basis: `own_basis_key()`, or a `published_basis`.
        mode: Of the fit.
    """
    if isinstance(basis, str):
        return {"basis": "own", "basis_key": basis, "mode": mode}
    name = "deep3d" if mode == "regressor" else "bfm"
    return {"basis": name, "basis_key": basis.key, "mode": mode}


def model_of(told: dict[str, Any]) -> FittedModel:
    """The model that attributes of a fit tell of."""
    return fitted_model(told["basis"], told["basis_key"])


class FittedFrames:
    """The frames of a video as the fit sees them.

    Args:
        video: The file.
        timeline: Its frames.
        landmarks: The face in it.
        landmarks68: The points of `fan` in it; None takes those of the mesh.
        settings: Of the fit.
        frozen: Another fit of the same frames, whose squares are taken.

    Attributes:
        valid: (frame,) a face is seen.
        transforms: (frame, 2, 3) frame px → px of 256; zeros where invalid.
    """

    def __init__(
        self,
        video: Source,
        timeline: Artifact,
        landmarks: Artifact,
        landmarks68: Artifact | None,
        settings: FitSettings,
        frozen: Artifact | None = None,
    ) -> None:
        self._video, self._landmarks, self._points68 = video, landmarks, landmarks68
        self._clip, self._pose = load_timeline(timeline), load_pose(landmarks)
        self.valid = landmarks.read("valid")
        if frozen is None:
            self.transforms = fit_transforms(
                self._pose,
                self.valid,
                mean_face=mean_face(),
                scene_start=self._clip.scene_start,
                frame_rate_hz=float(self._clip.video.rate),
                mode=settings.crop,
            )
        else:
            self.valid = self.valid & frozen.read("valid")
            self.transforms = frozen.read("transform") * self.valid[:, None, None]

    def shape(self, of: FittedModel, rows: NDArray[np.int64]) -> tuple[MeshFit, torch.Tensor]:
        """The closed form, and its points (row, point, 2) [px of 256] in ascending rows.

        All points of the mesh where basis and landmarks are of it, else the 68 landmarks.
        """
        if of.name == "own" and self._points68 is None:
            mesh = self._landmarks.read_rows("landmarks", rows)[:, :N_POINTS, :2]
            return of.by_mesh, _moved(mesh, self.transforms[rows])
        return of.by_landmarks, self.landmarks(rows)

    def landmarks(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """The 68 points (row, 68, 2) [px of 256] in ascending rows."""
        return _moved(self.frame_landmarks(rows), self.transforms[rows])

    def frame_landmarks(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The 68 points (row, 68, 2) [px of the frame] in ascending rows."""
        if self._points68 is None:
            return self._landmarks.read_rows("landmarks", rows)[:, list(LANDMARKS), :2]
        return self._points68.read_rows("landmarks", rows)

    def rotation(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Of the heads (row, 3, 3), canonical to image."""
        return torch.from_numpy(self._pose.rotation[rows])

    def linked(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Which of ascending valid rows (row,) go on from the one before."""
        follows = linked(self.valid, self._clip.scene_start)[rows]
        return torch.from_numpy(follows & (np.diff(rows, prepend=-2) == 1))

    def pictures(self, rows: NDArray[np.int64], side: int = SIDE) -> NDArray[np.uint8]:
        """Squares (row, side, side, 3) RGB in ascending rows."""
        transforms = self.transforms[rows] * np.float32(side / IMAGE_SIZE)
        return squares(self._video, self._clip, rows, transforms, side)


def colors(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures (picture, y, x, 3) RGB in 0..255 → (picture, 3, y, x) in 0..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def _moved(points: NDArray[np.float32], transforms: NDArray[np.float32]) -> torch.Tensor:
    """Points (row, point, 2) of frames → of squares."""
    return torch.from_numpy(
        points @ transforms[:, :, :2].swapaxes(1, 2) + transforms[:, None, :, 2]
    )
