"""Pickles read without running anything: names in them become inert stand-ins, or are refused.

A pickle is a program that calls whatever it names. Here the few names that checkpoints need are
answered by classes of this module that only keep what they are given; the real functions behind
the names are never looked up. Any other name ends the reading with `ForbiddenName`.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_NUMPY_MODULES = ("numpy.core", "numpy._core")


class ForbiddenName(Exception):
    """A pickle names something that no checkpoint needs. `str()` is the name."""


class Inert:
    """Stands for an object whose class does not matter; keeps its attributes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            self.__dict__.update(state)


class NumpyType:
    """Stands for numpy.dtype while unpickling."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = str(code)
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def real(self) -> np.dtype[Any]:
        """The dtype: plain numbers only.

        Raises:
            ForbiddenName: it is an object, a record, a text …
        """
        if len(self.code) > 3 or self.code[:1] not in tuple("fiub"):
            raise ForbiddenName(f"numpy type {self.code[:20]!r}")
        return np.dtype(f"{self.order}{self.code}" if self.order in ("<", ">") else self.code)


class NumpyArray:
    """Stands for numpy.ndarray while unpickling."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def real(self) -> NDArray[Any]:
        """The array.

        Raises:
            ValueError, TypeError: the state is none of an array.
        """
        _, shape, kind, fortran, data = self.state
        return _array(kind, data, shape, "F" if fortran else "C")


def numpy_scalar(kind: NumpyType, data: Any = b"") -> Any:
    """Stands for the function that makes numpy's scalars."""
    return _array(kind, data, (), "C").item()


def _array(kind: Any, data: Any, shape: Any, order: str) -> NDArray[Any]:
    if not isinstance(kind, NumpyType):
        raise TypeError("an array without a type")
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    flat = np.frombuffer(raw, kind.real())
    shaped = flat.reshape([int(n) for n in shape], order="F" if order == "F" else "C")
    return shaped.astype(shaped.dtype.newbyteorder("="))  # also makes it writable


def _from_buffer(data: Any, kind: Any, shape: Any, order: str = "C") -> NDArray[Any]:
    return _array(kind, data, shape, order)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ForbiddenName(f"encoding {encoding!r}")
    return text.encode("latin1")


def numpy_stand_ins() -> dict[str, Callable[..., Any]]:
    """Name in a pickle → stand-in, for numpy's arrays and numbers."""
    found: dict[str, Callable[..., Any]] = {"numpy.dtype": NumpyType, "numpy.ndarray": NumpyArray}
    for module in _NUMPY_MODULES:
        found[f"{module}.multiarray._reconstruct"] = NumpyArray
        found[f"{module}.multiarray.scalar"] = numpy_scalar
        found[f"{module}.numeric._frombuffer"] = _from_buffer
    return found


class _Reader(pickle.Unpickler):
    def __init__(
        self,
        file: IO[bytes],
        names: Mapping[str, Callable[..., Any]],
        storage: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, encoding="latin1")
        self._names = names
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full.startswith("__torch__."):
            return _Scripted
        if full not in self._names:
            raise ForbiddenName(full)
        return self._names[full]

    def persistent_load(self, pid: Any) -> Any:
        if self._storage is None:
            raise ForbiddenName("a reference to outside of the file")
        return self._storage(pid)


class _Scripted(Inert):
    """A module of a TorchScript archive."""


def read_numpy_pickle(file: IO[bytes]) -> Any:
    """A pickle of Python 2 or 3 that holds containers of numpy arrays.

    Raises:
        ForbiddenName: it names anything else.
        Exception: of many kinds, if it is damaged or no pickle.
    """
    names: dict[str, Callable[..., Any]] = {
        **numpy_stand_ins(),
        "_codecs.encode": _encode,
        "collections.OrderedDict": OrderedDict,
    }
    return _real(_Reader(file, names).load())


def _real(value: Any) -> Any:
    if isinstance(value, NumpyArray):
        return value.real()
    if isinstance(value, dict):
        return {key: _real(item) for key, item in value.items()}
    return value


def read_torchscript(archive: zipfile.ZipFile, root: str) -> "dict[str, torch.Tensor]":
    """The tensors of a TorchScript archive, named as its `state_dict()` would.

    `torch.jit.load` would compile the program in the archive, and loading can run parts of it
    (`__setstate__`). Nothing of `code/` is looked at here: modules in `data.pkl` become inert
    objects, tensors are cut out of the files in `data/` by NumPy's rules, and their places in the
    tree of modules are their names.

    Args:
        root: Folder in the archive that all its files lie in.

    Raises:
        ForbiddenName: `data.pkl` names anything that such an archive does not need.
        Exception: of many kinds, if it is damaged.
    """
    import torch

    storages: dict[str, torch.Tensor] = {}
    types = {
        f"{name}Storage": kind
        for name, kind in {
            **{"Double": torch.float64, "Float": torch.float32, "Half": torch.float16},
            **{"BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32},
            **{"Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool},
        }.items()
    }

    def storage(pid: Any) -> torch.Tensor:
        _, kind, name, *_ = pid
        if name not in storages:
            data = bytearray(archive.read(f"{root}/data/{int(name)}"))
            storages[name] = torch.frombuffer(data, dtype=kind) if data else torch.empty(0)
        return storages[name].to(kind)

    def tensor(
        flat: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> torch.Tensor:
        return flat.as_strided(tuple(size), tuple(stride), int(offset)).clone()

    names: dict[str, Any] = {
        "collections.OrderedDict": OrderedDict,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch.device": Inert,
        "torch.jit._pickle.restore_type_tag": lambda value, _: value,
        **{f"torch.{name}": kind for name, kind in types.items()},
    }
    for name in ("intlist", "doublelist", "boollist", "tensorlist"):
        names[f"torch.jit._pickle.build_{name}"] = list
    with archive.open(f"{root}/data.pkl") as file:
        module = _Reader(file, names, storage).load()
    return dict(_tensors(module, ""))


def _tensors(module: Any, prefix: str) -> "list[tuple[str, torch.Tensor]]":
    import torch

    found: list[tuple[str, torch.Tensor]] = []
    for name, value in vars(module).items() if isinstance(module, _Scripted) else ():
        if isinstance(value, torch.Tensor):
            found.append((f"{prefix}{name}", value))
        else:
            found += _tensors(value, f"{prefix}{name}.")
    return found
