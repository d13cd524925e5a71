"""What headers of sound files say of their length, and tags between the sound.

Libraries take both for damage, or estimates for statements.
"""

from pathlib import Path

_LEAST_UNKNOWN = 0x7FFF0000
_UNKNOWN = {0, 2_000_000_000, 2_000_000_036}
"""What programs write that can't go back to fill the length in, beside the largest numbers."""

_FIRST_FRAME_BYTES = 2048

_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")
"""First bytes of what music players put before, behind and, in joined files, between the sound."""


def wav_share(path: Path) -> float:
    """Share that is there of the sound that a WAV file's header promises, 0..1.

    1 also where it promises nothing: written to a pipe, it does not know how long it is.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        at, long = 12, 0
        while head[8:] == b"WAVE" and len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"ds64":
                long = int.from_bytes(file.read(16)[8:], "little")
            if chunk[:4] == b"data":
                is_long = head[:4] == b"RF64"
                unknown = long > end or _is_unknown(long & 0xFFFFFFFF)
                if unknown if is_long else _is_unknown(size):
                    return 1.0
                return min(1.0, (end - at - 8) / (long if is_long else size))
            at += 8 + size + size % 2
            file.seek(at)
    return 1.0


def counts_mp3_frames(path: Path) -> bool:
    """Whether an MP3 says how many frames it has (Xing, Info, VBRI); else its length is a guess."""
    with path.open("rb") as file:
        head = file.read(10)
        at = 0
        if head[:3] == b"ID3" and len(head) == 10:
            size = 0
            for byte in head[6:]:
                size = size << 7 | byte & 0x7F
            at = 10 + size
        file.seek(at)
        first = file.read(_FIRST_FRAME_BYTES)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def is_tag(data: bytes) -> bool:
    """Whether a packet of a sound file is no sound but a tag."""
    return data.startswith(_TAGS)


def _is_unknown(size: int) -> bool:
    return size in _UNKNOWN or size >= _LEAST_UNKNOWN
