"""A user's `BFM_model_front.mat`, the face basis of AudioDVP's and Deep3D's publications."""

import zlib

from models.audiodvp.face_model import of_published
from models.deep3d.basis import N_EXPRESSION, N_IDENTITY, N_LANDMARKS, N_TEXTURE, FaceBasis
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import InputError
from tasks.engine.stage import Made, stage


def _array(*dims: str, dtype: str = "float32", units: str = "", doc: str) -> ArraySpec:
    return ArraySpec(dims, dtype, units, doc, chunk=1 << 13, shard=1 << 17)


_RGB = "RGB of each vertex, 0..255"
PUBLISHED_BASIS = Schema(
    "published_basis",
    {
        "mean_shape": _array("coordinate", units="dm", doc="x, y, z of each vertex"),
        "identity": _array("coordinate", "identity", units="dm", doc="per standard deviation"),
        "expression": _array("coordinate", "expression", units="dm", doc="per standard deviation"),
        "mean_texture": _array("coordinate", doc=_RGB),
        "texture": _array("coordinate", "texture", doc=f"{_RGB}, per standard deviation"),
        "triangles": _array("triangle", "corner", dtype="int64", doc="vertices"),
        "vertex_triangles": _array("vertex", "around", dtype="int64", doc="triangles, padded"),
        "landmarks": _array("landmark", dtype="int64", doc="vertices of Deep3D's 68 points"),
        "front_vertices": _array("front_vertex", dtype="int64", doc="vertices that are compared"),
        "front_triangles": _array("front_triangle", "corner", dtype="int64", doc="of the same"),
        "skin": _array("vertex", doc="1 on skin"),
    },
    {
        **{"identity": N_IDENTITY, "expression": N_EXPRESSION, "texture": N_TEXTURE},
        **{"corner": 3, "landmark": N_LANDMARKS},
    },
    "The attributes of `models.deep3d.basis.FaceBasis`; licensed to the user whose file it is.",
)
_UNREADABLE = (ValueError, TypeError, KeyError, NotImplementedError, OSError, zlib.error)


@stage(PUBLISHED_BASIS, version=1)
def published_basis(file: Source) -> Made:
    """Read the file, once.

    Raises:
        InputError: it is no such file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        basis = FaceBasis.from_arrays(loadmat(file.path))
        of_published(basis)
    except (*_UNREADABLE, MatReadError) as error:
        raise InputError(
            f"{file.path} is no face basis: {' '.join(str(error).split())}; give the "
            "BFM_model_front.mat that Deep3DFaceRecon_pytorch makes of your Basel Face Model"
        ) from error
    return Made({name: each.numpy() for name, each in vars(basis).items()})
