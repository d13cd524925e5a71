"""A checksum at the end of a signed file, over all bytes before it.

A manifest's own hash leaves out parts of a file: the manifest's padding and certificates, the first
box, free space. A bit that flips there would go unseen. The checksum lies in a `free` box of ISO
base media (ISO/IEC 14496-12, 8.1.2), which players and manifests pass over.
"""

import hashlib
from pathlib import Path

_NAME = b"dubflow seal 1\0\0"
_LENGTH = 8 + len(_NAME) + 32
_HEAD = _LENGTH.to_bytes(4, "big") + b"free" + _NAME
_BLOCK = 1 << 20


def seal(path: Path) -> None:
    """Put the checksum behind what the file holds."""
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_HEAD + digest)


def is_whole(path: Path) -> bool:
    """Whether the file ends with the checksum of what is before."""
    length = path.stat().st_size - _LENGTH
    if length < 0:
        return False
    with path.open("rb") as file:
        file.seek(length)
        return file.read() == _HEAD + _digest(path, length)


def _digest(path: Path, length: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length and (block := file.read(min(_BLOCK, length))):
            digest.update(block)
            length -= len(block)
    return digest.digest()
