"""Checkpoint files of other people, read without trusting them.

What a file is follows from its bytes, never from its name:

    zip with data.pkl              torch.save since 1.6      torch.load(weights_only=True)
    zip with data.pkl and code/    TorchScript archive       tensors only, see inert_pickle
    pickle with torch's number     torch.save before 1.6     torch.load(weights_only=True)
    other pickle                   numpy arrays by name      see inert_pickle
    text that names MATLAB 5.0  numeric arrays by name
    safetensors

No code of a file is ever run. A pickle that names anything but tensors, arrays and containers is
refused. Torch is imported where it is used.
"""

import math
import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stores.errors import WeightsError
from stores.weights.inert_pickle import (
    ForbiddenName,
    Inert,
    NumpyType,
    numpy_scalar,
    read_numpy_pickle,
    read_torchscript,
)

if TYPE_CHECKING:
    import torch

Format = Literal["torch", "torch_legacy", "torchscript", "numpy_pickle", "matlab", "safetensors"]

_HEAD_BYTES = 512
_TORCH_NUMBER = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How a pickle of torch.save before 1.6 goes on after its first two bytes."""

_MATLAB = b"MATLAB 5.0 MAT-file"

_DATA = re.compile(r"[^/]+/data\.pkl")

_TEXT_PICKLE = re.compile(rb"\(d|\}[q(]|c[\w.]+\n\w+\n")
"""How pickles of the protocols 0 and 1 begin: with a dict, or with what they call."""

_MOST_MATLAB_NUMBERS = 1 << 24
"""Compressed, these could be any number."""

_MOST_UNPACKED = 1.5
"""A checkpoint's zip stores its files as they are; one that unpacks to much more is none."""


def detect_format(path: Path) -> Format:
    """What kind of checkpoint a file is.

    Raises:
        WeightsError: it is none: missing, empty, a web page, a pointer, something else.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}; check the name") from error
    _refuse_pages(path, head)
    if head[:4] == b"PK\x03\x04":
        return _zip_format(path)
    if head[2 : 2 + len(_TORCH_NUMBER)] == _TORCH_NUMBER:
        return "torch_legacy"
    if head.startswith(_MATLAB):
        return "matlab"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head[:1] == b"\x80" or _TEXT_PICKLE.match(head):
        return "numpy_pickle"
    raise WeightsError(
        f"{path} is no checkpoint: it begins with {head[:16]!r}; fetch the file anew"
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """All that a checkpoint holds; tensors are on the CPU, arrays have become tensors.

    Raises:
        WeightsError: in one line: it is damaged, no checkpoint, or would run code.
    """
    kind = detect_format(path)
    with _explained(path):
        content = _READERS[kind](path)
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} holds a {type(content).__name__}, not a state dict; it is another file than "
            "the published one"
        )
    return dict(content)


def unnest(
    content: Mapping[str, Any],
    *,
    under: Sequence[str] = (".",),
    drop: Sequence[str] = (),
    ignore: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
) -> "dict[str, torch.Tensor]":
    """The state dict in a checkpoint, with the network's own keys.

    Args:
        content: Of `read_checkpoint`.
        under: Where it lies: the first of these names that the checkpoint has; "." is the
            checkpoint itself.
        drop: Parts of dotted keys that are taken out wherever they stand, as the `module` that
            DataParallel puts in front.
        ignore: Beginnings of keys that are not the network's.
        rename: Beginning of a key → what stands there instead.

    Raises:
        ValueError: it is not there, or holds what is no tensor, or two keys become one.
    """
    import torch

    state = _found_under(content, under)
    flat: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        name = ".".join(part for part in str(key).split(".") if part not in drop)
        if name.startswith(tuple(ignore)):
            continue
        name = _renamed(name, rename or {})
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{key!r} is a {type(value).__name__}, not a tensor")
        if name in flat:
            raise ValueError(f"two keys become {name!r}")
        flat[name] = value.detach()
    if not flat:
        raise ValueError("there is no tensor in it")
    return flat


def _found_under(content: Mapping[str, Any], under: Sequence[str]) -> Mapping[str, Any]:
    for name in under:
        if name == ".":
            return content
        if isinstance(content.get(name), Mapping):
            found: Mapping[str, Any] = content[name]
            return found
    names = ", ".join(repr(str(name)) for name in list(content)[:5])
    raise ValueError(f"no {' or '.join(map(repr, under))} in it; it has {names}")


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    for start, other in rename.items():
        if name.startswith(start):
            return other + name.removeprefix(start)
    return name


def _refuse_pages(path: Path, head: bytes) -> None:
    if not head:
        raise WeightsError(f"{path} is empty; fetch it anew")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        raise WeightsError(
            f"{path} is a web page, not a checkpoint: the site answered with a notice (Google "
            "Drive does so for large files) or asks to log in; open the address in a browser and "
            "save what its download button gives"
        )
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path} is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
        )


def _zip_format(path: Path) -> Format:
    with _explained(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if sum(m.file_size for m in members) > _MOST_UNPACKED * path.stat().st_size + (1 << 20):
            raise WeightsError(f"{path} unpacks to far more than its size; it is no checkpoint")
        if not any(_DATA.fullmatch(name) for name in names):
            inside = ", ".join(names[:3]) or "nothing"
            raise WeightsError(
                f"{path} is a zip of {inside}, not a checkpoint; if a checkpoint is packed in it, "
                "unpack it and give that file"
            )
        if (broken := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"a checksum in {broken} does not fit")
    return "torchscript" if any("/code/" in name for name in names) else "torch"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what torch, zipfile and pickle raise into one line.

    Raises:
        WeightsError: in place of any other exception.
    """
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        name = str(error) if isinstance(error, ForbiddenName) else _forbidden_in(error)
        if name:
            raise WeightsError(
                f"{path} is refused: to load it would call {name}, which no state dict needs and "
                "which could do anything; nothing of it was run; delete it and fetch the "
                "published file"
            ) from error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(f"{path} is damaged or broken off ({reason}); fetch it anew") from error


def _forbidden_in(error: Exception) -> str | None:
    """What a pickle names that torch refuses, from torch's message; None for other errors."""
    if not isinstance(error, pickle.UnpicklingError):
        return None
    named = re.search(r"GLOBAL (\S+)|(?:got|create new object for) <?(\S+ ?\S*?)>?$", str(error))
    return named.group(1) or named.group(2) if named else None


def _read_torch(path: Path) -> Any:
    """By torch's own restricted unpickler.

    Training scripts also put their arguments and NumPy numbers into the dict: what these name is
    answered by inert stand-ins.
    """
    import torch

    mapped = zipfile.is_zipfile(path)  # without reading the optimizer's moments
    with torch.serialization.safe_globals(_stand_ins()):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _stand_ins() -> list[Any]:
    return [
        (Inert, f"{Namespace.__module__}.{Namespace.__qualname__}"),
        (NumpyType, "numpy.dtype"),
        (numpy_scalar, "numpy.core.multiarray.scalar"),
        (numpy_scalar, "numpy._core.multiarray.scalar"),
    ]


def _read_torchscript(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        root = next(n for n in archive.namelist() if _DATA.fullmatch(n)).split("/")[0]
        if f"{root}/byteorder" in archive.namelist():
            order = archive.read(f"{root}/byteorder")
            if order != b"little":
                raise ValueError(f"byte order {order!r}")
        return read_torchscript(archive, root)


def _read_numpy_pickle(path: Path) -> Any:
    import torch

    with path.open("rb") as file:
        content = read_numpy_pickle(file)
    if not isinstance(content, Mapping):
        return content
    return {
        str(name): torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in content.items()
    }


def _read_matlab(path: Path) -> Any:
    import torch
    from scipy.io import loadmat, whosmat

    numbers = sum(math.prod(shape) for _, shape, _ in whosmat(path))
    if numbers > _MOST_MATLAB_NUMBERS:
        raise ValueError(f"it holds {numbers} numbers")
    return {
        name: torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
        else value
        for name, value in loadmat(path).items()
        if not name.startswith("__")  # about the file
    }


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


_READERS = {
    "torch": _read_torch,
    "torch_legacy": _read_torch,
    "torchscript": _read_torchscript,
    "numpy_pickle": _read_numpy_pickle,
    "matlab": _read_matlab,
    "safetensors": _read_safetensors,
}
