"""Check the structure of Matroska and WebM files; demuxers skip damage there without an error.

A file is a chain of elements: an identifier, a size, and so many bytes. Blocks cut out, zeroed or
overwritten break the chain; a checksum, where the writer left one, covers the rest.
"""

import os
import zlib
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER, _CRC, _VOID = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xBF, 0xEC
_IN_SEGMENT = {
    0x114D9B74,  # SeekHead
    0x1549A966,  # Info
    0x1654AE6B,  # Tracks
    0x1C53BB6B,  # Cues
    0x1941A469,  # Attachments
    0x1043A770,  # Chapters
    0x1254C367,  # Tags
    _CLUSTER,
    _CRC,
    _VOID,
}
_IN_CLUSTER = {
    0xE7,  # Timestamp
    0x5854,  # SilentTracks
    0xA7,  # Position
    0xAB,  # PrevSize
    0xA3,  # SimpleBlock
    0xA0,  # BlockGroup
    0xAF,  # EncryptedBlock
    _CRC,
    _VOID,
}
_CHECKSUM_BYTES = 2**26  # larger elements are not read for their checksum


class _Broken(Exception):
    """The chain of elements breaks at this byte."""


def find_damage(path: Path) -> str | None:
    """Find damage in the structure of a Matroska file.

    Returns:
        What is wrong, in a few words, or None.
    """
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        try:
            at = 0
            while at < end:
                at = _walk_top(file, at, end)
        except _Broken as broken:
            return str(broken)
    return None


def _walk_top(file: BinaryIO, at: int, end: int) -> int:
    """Check the element at `at` in the file itself; returns where the next one starts."""
    identifier, data, stop = _element(file, at, end)
    if identifier == _SEGMENT:
        position = data
        while position < (end if stop is None else stop):
            position = _walk_segment(file, position, end if stop is None else stop)
        return position
    if identifier not in (_EBML, _VOID) or stop is None:
        raise _Broken(f"the element at byte {at} is unknown")
    return stop


def _walk_segment(file: BinaryIO, at: int, end: int) -> int:
    """Check one element of the segment; returns where the next one starts."""
    identifier, data, stop = _element(file, at, end)
    if identifier not in _IN_SEGMENT:
        raise _Broken(f"the element at byte {at} is unknown")
    if stop is not None:
        _check_sum(file, data, stop)
    if identifier != _CLUSTER:
        if stop is None:
            raise _Broken(f"the element at byte {at} has no size")
        return stop
    position = data
    while position < (end if stop is None else stop):
        child, _, after = _element(file, position, end if stop is None else stop)
        if child not in _IN_CLUSTER or after is None:
            if stop is None and child in _IN_SEGMENT:
                return position  # a cluster of unknown size ends where the next one starts
            raise _Broken(f"the element at byte {position} is unknown")
        position = after
    return position


def _element(file: BinaryIO, at: int, end: int) -> tuple[int, int, int | None]:
    """Read the head of an element: identifier, first byte, and end (None if it has no size)."""
    file.seek(at)
    head = file.read(12)
    if not head or not head[0]:
        raise _Broken(f"there is no element at byte {at}")
    id_bytes = 9 - head[0].bit_length()
    if id_bytes > 4 or len(head) <= id_bytes or not head[id_bytes]:
        raise _Broken(f"the element at byte {at} is unknown")
    size_bytes = 9 - head[id_bytes].bit_length()
    data = at + id_bytes + size_bytes
    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") - (1 << (7 * size_bytes))
    if size == (1 << (7 * size_bytes)) - 1:
        return int.from_bytes(head[:id_bytes], "big"), data, None
    if data + size > end:
        raise _Broken(f"the element at byte {at} is cut short")
    return int.from_bytes(head[:id_bytes], "big"), data, data + size


def _check_sum(file: BinaryIO, data: int, stop: int) -> None:
    """Compare an element's content with the checksum that may stand first in it."""
    if not 6 < stop - data <= _CHECKSUM_BYTES:
        return
    file.seek(data)
    head = file.read(6)
    if head[:2] != b"\xbf\x84":
        return
    if zlib.crc32(file.read(stop - data - 6)) != int.from_bytes(head[2:], "little"):
        raise _Broken(f"the checksum at byte {data} is wrong")
