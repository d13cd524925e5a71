"""The face basis that comes with Dubflow."""

from functools import cache

from safetensors.numpy import load_file

from models.deep3d.basis import FaceBasis
from models.face_basis.own import LEVELS, basis_of
from stores.artifacts.keys import file_key
from stores.shipped import shipped_file

_FILE = "models/face_basis/face_basis.safetensors"


@cache
def own_basis(levels: int = LEVELS) -> FaceBasis:
    """The project's own basis: 7152 vertices on two levels of subdivision, 1816 on one."""
    return basis_of(load_file(shipped_file(_FILE)), levels)


@cache
def own_basis_key() -> str:
    """Its key: what was fitted or trained with a basis belongs to that one only."""
    return file_key(shipped_file(_FILE))
