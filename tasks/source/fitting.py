"""What the two stages of the fit of a face model share: the model, and what is seen of the face."""

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.audiodvp.face_model import FaceModel, of_own
from models.face_basis.own import N_POINTS
from models.face_fit.crop import fit_transforms, linked
from models.face_fit.mesh import MeshFit
from models.face_fit.photometric import SIDE
from models.face_fit.settings import FitSettings
from models.faces.crop.crop import to_crop
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.frame import Frame
from stores.media.read import read_frames
from tasks.source.area import crop_of
from tasks.source.face_basis import own_basis
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.timeline import load_timeline

_LEVELS = 1
"""Of subdivision: enough for pictures of 128 px."""


@cache
def fitted_model() -> FaceModel:
    """The model whose coefficients are fitted."""
    return FaceModel(of_own(own_basis(_LEVELS)))


@cache
def mesh_fit() -> MeshFit:
    """Its closed form: the points of the face mesh are its first vertices."""
    return MeshFit(fitted_model(), torch.arange(N_POINTS))


class FittedFrames:
    """The frames of a video as the fit sees them.

    Args:
        video: The file.
        timeline: Its frames.
        landmarks: The face in it.
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
        settings: FitSettings,
        frozen: Artifact | None = None,
    ) -> None:
        self._video, self._landmarks = video, landmarks
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

    def points(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """The mesh (row, 468, 2) [px of 256] in ascending rows."""
        first = int(rows[0])
        meshes = self._landmarks.read("landmarks", first, int(rows[-1]) + 1)[rows - first]
        return torch.from_numpy(to_crop(meshes[:, :N_POINTS], self.transforms[rows])[..., :2])

    def rotation(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Of the heads (row, 3, 3), canonical to image."""
        return torch.from_numpy(self._pose.rotation[rows])

    def linked(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Which of ascending valid rows (row,) go on from the one before."""
        follows = linked(self.valid, self._clip.scene_start)[rows]
        return torch.from_numpy(follows & (np.diff(rows, prepend=-2) == 1))

    def pictures(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Squares (row, SIDE, SIDE, 3) RGB in ascending rows."""
        found = np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)
        for number, frame in enumerate(self._read(rows)):
            crop = crop_of(frame, self.transforms[rows[number]], 2 * SIDE)
            cv2.resize(crop, (SIDE, SIDE), dst=found[number], interpolation=cv2.INTER_AREA)
        return found

    def _read(self, rows: NDArray[np.int64]) -> Iterator[Frame]:
        """The frames of ascending rows; neighbours are decoded in one go."""
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            yield from read_frames(self._video.path, self._clip, int(run[0]), int(run[-1]) + 1)


def colors(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Pictures (picture, y, x, 3) RGB in 0..255 → (picture, 3, y, x) in 0..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
