"""A made-up `BFM_model_front.mat`: the published layout and sizes, with the own basis's face."""

from pathlib import Path

import numpy as np
from scipy.io import savemat

from models.audiodvp.face_model import LANDMARKS
from models.deep3d.alignment import STANDARD_POINTS
from models.faces.landmarks.decode import _MIRRORED
from tasks.source.face_basis import own_basis

VERTICES = 35_709
"""Of the published mesh; most lie in no triangle here."""


KEYPOINTS = np.array(LANDMARKS)[list(_MIRRORED)]


def _middle(shape: np.ndarray) -> np.ndarray:
    """Where the mean of all vertices must be, for Deep3D to see the face where it expects it."""
    points = shape[KEYPOINTS]
    left, right = points[[36, 39]].mean(0), points[[42, 45]].mean(0)
    five = np.stack([left, right, *points[[30, 48, 54]]])
    return np.asarray((five - STANDARD_POINTS).mean(0))


def write_bfm(path: Path) -> Path:
    """Write the file; AudioDVP sees in it the face that the own basis has."""
    own = own_basis(1)
    free = np.setdiff1d(np.arange(VERTICES), LANDMARKS)[: own.n_vertices]
    at = np.concatenate([free, LANDMARKS])
    of = np.concatenate([np.arange(own.n_vertices), own.landmarks.numpy()])

    def spread(values: np.ndarray, left: float = 1.0) -> np.ndarray:
        """Numbers of the own vertices, on those of the file; x is turned round."""
        parts = values.reshape(own.n_vertices, 3, -1) * np.array([left, 1, 1])[:, None]
        found = np.zeros((VERTICES, 3, parts.shape[-1]), np.float32)
        found[at] = parts[of]
        return found.reshape(3 * VERTICES, -1)

    shape = spread(own.mean_shape.numpy(), -1).reshape(VERTICES, 3)
    unused = np.setdiff1d(np.arange(VERTICES), at)
    shape[unused] = (VERTICES * _middle(shape) - shape[at].sum(0)) / len(unused)
    around = np.full((VERTICES, own.vertex_triangles.shape[1]), len(own.triangles))
    around[free] = own.vertex_triangles.numpy()
    triangles = free[own.triangles.numpy()][:, ::-1] + 1.0
    arrays = {
        "meanshape": shape.reshape(1, -1),
        "idBase": spread(own.identity.numpy(), -1),
        "exBase": spread(own.expression.numpy(), -1),
        "meantex": spread(own.mean_texture.numpy()).T,
        "texBase": spread(own.texture.numpy()),
        "tri": triangles,
        "point_buf": around + 1.0,
        "keypoints": KEYPOINTS[None] + 1.0,
        "frontmask2_idx": free[own.front_vertices.numpy()][:, None] + 1.0,
        "tri_mask2": triangles,
        "skinmask": np.ones((1, VERTICES)),
    }
    savemat(path, arrays)
    return path
