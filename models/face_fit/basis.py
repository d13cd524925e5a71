"""The bases that faces are fitted with, as AudioDVP's face model takes them."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch

from models.audiodvp.face_model import of_own, of_published
from models.deep3d.basis import FaceBasis

BasisName = Literal["own", "bfm", "deep3d"]
"""own: the project's; bfm: a user's `BFM_model_front.mat` as AudioDVP sees it, mirrored and with
landmarks of its own; deep3d: the same file as Deep3D sees it."""


def published(arrays: Mapping[str, np.ndarray]) -> FaceBasis:
    """The user's basis from its attributes."""
    return FaceBasis(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def as_fitted(name: BasisName, basis: FaceBasis) -> FaceBasis:
    """A basis in AudioDVP's unit and camera.

    Raises:
        ValueError: the mesh is not the published one.
    """
    return of_published(basis) if name == "bfm" else of_own(basis)
