"""Content keys: what an artifact is called follows from what it was made of."""

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 22


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no white space, no NaN.

    Raises:
        TypeError: for sets, paths, arrays and any object that JSON does not know; their text
            could differ between two processes. For keys of a dict that are no text, too: 1 and "1"
            would have one.
        ValueError: for NaN and infinities.
    """
    _check_names(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_names(value: Any) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise TypeError(f"the key {name!r} of a dict is {type(name).__name__}, not str")
            _check_names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_names(inner)


def content_key(value: Any) -> str:
    """BLAKE2b-128 of the canonical JSON, as 32 hexadecimal digits."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()


def file_key(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, as 32 hexadecimal digits. Memory stays constant."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
