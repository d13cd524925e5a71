"""The face basis that comes with Dubflow, and whichever a face was fitted with."""

from functools import cache, lru_cache

from safetensors.numpy import load_file

from models.deep3d.basis import FaceBasis
from models.face_basis.own import LEVELS, basis_of
from models.face_fit.basis import BasisName, as_fitted, published
from stores.artifacts.keys import file_key
from stores.errors import InputError
from stores.shipped import shipped_file
from tasks.engine.run import current_run
from tasks.source.published_basis import PUBLISHED_BASIS

_FILE = "models/face_basis/face_basis.safetensors"


@cache
def own_basis(levels: int = LEVELS) -> FaceBasis:
    """The project's own basis: 7152 vertices on two levels of subdivision, 1816 on one."""
    return basis_of(load_file(shipped_file(_FILE)), levels)


@cache
def own_basis_key() -> str:
    """Its key: what was fitted or trained with a basis belongs to that one only."""
    return file_key(shipped_file(_FILE))


@lru_cache(maxsize=4)
def face_basis(basis: BasisName, key: str | None = None, levels: int = LEVELS) -> FaceBasis:
    """The basis that a fit's coefficients belong to, as AudioDVP's face model takes it.

    Args:
        basis: Its name, attribute `basis` of the fit.
        key: Attribute `basis_key` of the fit; None: of the own one, whichever is here.
        levels: Of subdivision, of the own basis.

    Raises:
        InputError: the basis is not here, or another one of that name.
    """
    return as_fitted(basis, named_basis(basis, key, levels))


def named_basis(basis: BasisName, key: str | None, levels: int = LEVELS) -> FaceBasis:
    """The same as it was made: x right, in dm.

    Raises:
        InputError: as `face_basis`.
    """
    if basis == "own" and key in (None, own_basis_key()):
        return own_basis(levels)
    if basis != "own" and key is not None:
        file = current_run().store.find(PUBLISHED_BASIS.kind, key)
        if file is not None:
            return published({name: file.read(name) for name in PUBLISHED_BASIS.arrays})
    raise InputError(
        f"the face was fitted with another basis ({basis} {(key or '')[:12]}); fit it again"
    )
