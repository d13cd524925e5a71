"""Files to a browser, whole or a single range of them."""

import re
from collections.abc import Iterator
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_MOST_BYTES = 16 << 20
"""Of one range; players ask for the next."""
_BLOCK = 1 << 18


def ranged(path: Path, media_type: str, asked: str | None) -> StreamingResponse:
    """The file, or the range of it that the header asks for.

    Raises:
        HTTPException: 416, for several ranges or none that lies in the file.
    """
    size = path.stat().st_size
    start, stop, headers = 0, size, {"Accept-Ranges": "bytes"}
    if asked is not None:
        start, stop = _bounds(asked, size)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    return StreamingResponse(
        _blocks(path, start, stop),
        status_code=200 if asked is None else 206,
        media_type=media_type,
        headers=headers,
    )


def _bounds(asked: str, size: int) -> tuple[int, int]:
    told = _RANGE.fullmatch(asked.strip())
    if told is None or not any(told.groups()):
        raise HTTPException(416, "ask for one range of bytes", {"Content-Range": f"bytes */{size}"})
    first, last = told.groups()
    if first:
        start, stop = int(first), int(last) + 1 if last else size
    else:
        start, stop = max(0, size - int(last)), size
    stop = min(stop, size, start + _MOST_BYTES)
    if start >= stop:
        raise HTTPException(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, stop


def _blocks(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (block := file.read(min(_BLOCK, stop - start))):
            yield block
            start += len(block)
