"""Changes media files as damage, bad copies and hostile hands do: bytes, lengths and whole parts.

A part is what a container is made of: a box, an element, a chunk, a packet or a frame.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Where arithmetic of lengths, times and rates goes wrong, if it does."""

_BOXES_OF_BOXES = {
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta"),
    *(b"moof", b"traf", b"mvex"),
}
_ELEMENTS_OF_ELEMENTS = {0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1549A966}
_TS_PACKET = 188


class Part(NamedTuple):
    """Bytes [start, stop) of a file, and where in them its size is stated (none: 0 bytes)."""

    start: int
    stop: int
    size_at: int = 0
    size_bytes: int = 0
    order: Literal["big", "little"] = "big"


def parts(data: bytes) -> list[Part]:
    """Find the parts of an undamaged MP4, MOV, Matroska, MPEG-TS, WAV or MP3 file."""
    if data[4:8] in (b"ftyp", b"wide", b"mdat", b"moov"):
        return list(_boxes(data, 0, len(data)))
    if data[:4] == b"\x1aE\xdf\xa3":
        return list(_elements(data, 0, len(data)))
    if data[:4] == b"RIFF":
        return list(_chunks(data))
    if data[0] == data[_TS_PACKET] == 0x47:
        return [Part(at, at + _TS_PACKET) for at in range(0, len(data), _TS_PACKET)]
    return list(_mp3_frames(data))


def _boxes(data: bytes, at: int, end: int) -> Iterator[Part]:
    while at + 8 <= end:
        stop = at + int.from_bytes(data[at : at + 4], "big")
        yield Part(at, stop, at, 4)
        if data[at + 4 : at + 8] in _BOXES_OF_BOXES:
            yield from _boxes(data, at + 8, stop)
        at = stop


def _elements(data: bytes, at: int, end: int) -> Iterator[Part]:
    while at < end:
        id_bytes = 9 - data[at].bit_length()
        size_at = at + id_bytes
        size_bytes = 9 - data[size_at].bit_length()
        inside = size_at + size_bytes
        size = int.from_bytes(data[size_at:inside], "big") & ((1 << 7 * size_bytes) - 1)
        stop = min(end, inside + size)  # all bits set means up to the end
        yield Part(at, stop, size_at, size_bytes)
        if int.from_bytes(data[at:size_at], "big") in _ELEMENTS_OF_ELEMENTS:
            yield from _elements(data, inside, stop)
        at = stop


def _chunks(data: bytes) -> Iterator[Part]:
    yield Part(0, 12, 4, 4, "little")
    at = 12
    while at + 8 <= len(data):
        stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        yield Part(at, min(stop, len(data)), at + 4, 4, "little")
        at = stop + stop % 2


def _mp3_frames(data: bytes) -> Iterator[Part]:
    starts = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] >> 4 == 0xF]
    yield from (Part(a, b) for a, b in pairwise([0, *starts, len(data)]) if b > a)


def mutate(data: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    """Change a file in one to three ways.

    Args:
        data: An undamaged file.
        random: Decides how, where and how much.

    Returns:
        The changed file, and the names of the changes.
    """
    found = parts(data)
    names = []
    changed = bytearray(data)
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        name = str(random.choice(list(_CHANGES)))
        _CHANGES[name](changed, found, random)
        names.append(name)
    return bytes(changed), "+".join(names)


def _pick(found: list[Part], random: np.random.Generator) -> Part:
    return found[int(random.integers(len(found)))]


def _flip(data: bytearray, _: list[Part], random: np.random.Generator) -> None:
    for at in random.integers(0, max(1, len(data)), int(random.choice([1, 1, 4, 20]))):
        data[at : at + 1] = bytes([data[at] ^ 1 << int(random.integers(8))] if data else [])


def _head(data: bytearray, found: list[Part], random: np.random.Generator) -> None:
    """Change a byte at the head of a part, where names, sizes, counts and times are."""
    at = _pick(found, random).start + int(random.integers(40))
    if at < len(data):
        data[at] = int(random.integers(256))


def _number(data: bytearray, found: list[Part], random: np.random.Generator) -> None:
    """Write a number into a part, somewhere near its head."""
    at = _pick(found, random).start + int(random.integers(20)) * 2
    length = int(random.choice([1, 2, 4, 8]))
    value = int(random.choice(NUMBERS)) & ((1 << 8 * length) - 1)
    if at + length <= len(data):
        data[at : at + length] = value.to_bytes(length, str(random.choice(["big", "little"])))  # type: ignore[arg-type]


def _size(data: bytearray, found: list[Part], random: np.random.Generator) -> None:
    """State another size of a part: a little or entirely wrong."""
    part = _pick([each for each in found if each.size_bytes] or found, random)
    field = slice(part.size_at, part.size_at + part.size_bytes)
    limit = (1 << 8 * part.size_bytes) - 1
    now = int.from_bytes(data[field], part.order)
    value = random.choice([*NUMBERS, now + 1, now - 1, now + 8, now << 1, now >> 1])
    data[field] = (int(value) & limit).to_bytes(part.size_bytes, part.order)


def _drop(data: bytearray, found: list[Part], random: np.random.Generator) -> None:
    part = _pick(found, random)
    del data[part.start : part.stop]


def _repeat(data: bytearray, found: list[Part], random: np.random.Generator) -> None:
    part = _pick(found, random)
    data[part.stop : part.stop] = data[part.start : part.stop]


def _swap(data: bytearray, found: list[Part], random: np.random.Generator) -> None:
    """Exchange two parts that don't overlap."""
    one, other = sorted((_pick(found, random), _pick(found, random)))
    if one.stop <= other.start:
        data[one.start : other.stop] = (
            data[other.start : other.stop]
            + data[one.stop : other.start]
            + data[one.start : one.stop]
        )


def _cut(data: bytearray, _: list[Part], random: np.random.Generator) -> None:
    del data[int(random.integers(1, len(data) + 1)) :]


def _remove(data: bytearray, _: list[Part], random: np.random.Generator) -> None:
    at = int(random.integers(len(data) + 1))
    del data[at : at + int(random.integers(1, 4000))]


def _insert(data: bytearray, _: list[Part], random: np.random.Generator) -> None:
    at = int(random.integers(len(data) + 1))
    data[at:at] = random.bytes(int(random.integers(1, 2000)))


def _overwrite(data: bytearray, _: list[Part], random: np.random.Generator) -> None:
    at, length = int(random.integers(len(data) + 1)), int(random.integers(1, 2000))
    noise = random.bytes(length) if random.integers(2) else bytes(length)
    data[at : at + length] = noise[: len(data) - at]


_CHANGES = {
    change.__name__[1:]: change
    for change in (
        *(_flip, _head, _number, _size, _drop, _repeat, _swap),
        *(_cut, _remove, _insert, _overwrite),
    )
}
