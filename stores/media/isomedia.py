"""Check that an MP4 or MOV file is complete; demuxers accept truncated ones without an error."""

from pathlib import Path


def find_cut(path: Path) -> str | None:
    """Find an outermost box of an MP4 or MOV file that reaches beyond the file's end.

    Returns:
        Which box reaches beyond the end of the file, in a few words, or None.
    """
    end = path.stat().st_size
    at = 0
    with path.open("rb") as file:
        while at + 8 <= end:
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1 and len(head) == 16:
                size = int.from_bytes(head[8:], "big")
            if size == 0:
                return None  # up to the end of the file
            if size < 8:
                return None  # no box: bytes that some other program appended
            name = head[4:8].decode("latin-1")
            if at + size > end:
                if not name.isprintable():
                    return f"no box begins at byte {at}, where one should"
                return f"{at + size - end} bytes of its box {name!r} are missing"
            at += size
    return None
