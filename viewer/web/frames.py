"""Exact pictures of a video by the number of the frame, quickly after one another.

A video stays open: the next frame only goes on decoding. A jump decodes from the keyframe before,
a step back some frames at once. Frames that are likely asked for next are made ahead.
"""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from stores.backends.kept import Kept
from stores.errors import MediaError
from stores.media.frame import Frame

Format = Literal["webp", "jpeg", "png"]

AHEAD = 16
"""Frames made before they are asked for."""

PICTURES_BYTES = 32 << 20
_FRAMES_BYTES, _MOST_FRAMES = 32 << 20, 64
"""Of decoded frames of one video that are kept."""

_QUALITY: dict[Format, list[int]] = {
    "jpeg": [cv2.IMWRITE_JPEG_QUALITY, 90],
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
}
_WEBP_QUALITY = 85
assert WebPImagePlugin.SUPPORTED  # imported, it alone is registered; else Pillow loads forty more

_ahead = ThreadPoolExecutor(1, "frames ahead")


class _Urgent:
    """How many pictures are waited for."""

    count, lock = 0, Lock()


_PATIENCE_SECONDS = 0.5


@contextmanager
def waited_for() -> Iterator[None]:
    """Somebody waits for a picture: long readings give way."""
    with _Urgent.lock:
        _Urgent.count += 1
    try:
        yield
    finally:
        with _Urgent.lock:
            _Urgent.count -= 1


def give_way() -> None:
    """Called now and then by what reads long arrays: lets pictures be made first."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while _Urgent.count and time.monotonic() < until:
        time.sleep(0.005)


class Readable(Protocol):
    """A video that can be read from any frame on."""

    def frames(self, start: int) -> Iterator[Frame]:
        """Frames from `start` to the end; ends what was given before."""

    def close(self) -> None:
        """Let go of what was opened."""


class Pictures:
    """Encoded pictures of a video.

    Args:
        name: Tells it from others in `made`.
        open_video: Opens it.
        key_before: The last frame at or before one where decoding can start.
        count: Of its frames.
        made: Pictures, of all videos.
    """

    def __init__(
        self,
        name: str,
        open_video: Callable[[], Readable],
        key_before: Callable[[int], int],
        count: int,
        made: Kept[bytes],
    ) -> None:
        self._name, self._open, self._key_before = name, open_video, key_before
        self.count, self._made = count, made
        self._video: Readable | None = None
        self._decoding: Iterator[Frame] = iter(())
        self._next = self._asked = -1
        self._frames: Kept[Frame] = Kept(_FRAMES_BYTES)
        self._back = AHEAD
        self._lock = Lock()

    def picture(self, index: int, width: int | None, form: Format) -> bytes:
        """A frame as an encoded picture; its neighbours are then made ahead.

        Args:
            index: Of the frame.
            width: px at most; None keeps the size.
            form: png is without loss.

        Raises:
            MediaError: the frame can't be decoded.
        """
        back = self._asked - AHEAD <= index < self._asked
        self._asked = index
        with waited_for():
            picture = self._picture(index, width, form, back=back)
        if form != "png":
            _ahead.submit(self._make_ahead, index, width, form, back)
        return picture

    def all(self) -> Iterator[Frame]:
        """Every frame, for one who asks for nothing else."""
        video = self._open()
        yield from video.frames(0)
        video.close()

    def close(self) -> None:
        """Close the video."""
        with self._lock:
            self._asked = self._next = -1
            self._decoding = iter(())
            self._frames.clear()
            if self._video is not None:
                self._video.close()

    def frame(self, index: int, *, back: bool = False) -> Frame:
        """A decoded frame.

        Args:
            back: Those before it will be asked for next.
        """
        with self._lock:
            if (kept := self._frames.get(index)) is not None:
                return kept
            key = self._key_before(index)
            if not max(key, index - 4 * AHEAD) <= self._next <= index:
                start = max(key, index - self._back + 1) if back else index
                if self._video is None:
                    self._video = self._open()
                self._decoding, self._next = self._video.frames(start), start
            try:
                for frame in self._decoding:
                    self._next += 1
                    self._frames.put(frame.index, frame, _weight(frame))
                    if frame.index == index:
                        self._back = max(1, min(AHEAD, _FRAMES_BYTES // _bytes(frame)))
                        return frame
            except BaseException:
                self._next = -1
                raise
            raise MediaError(f"frame {index} is missing; `dubflow artifacts verify` says why")

    def _picture(self, index: int, width: int | None, form: Format, *, back: bool) -> bytes:
        name = self._name, index, width, form
        if (made := self._made.get(name)) is None:
            made = encoded(shrunk(self.frame(index, back=back), width), form)
            self._made.put(name, made, len(made))
        return made

    def _make_ahead(self, index: int, width: int | None, form: Format, back: bool) -> None:
        step = -1 if back else 1
        for row in range(index + step, index + step * (AHEAD + 1), step):
            if self._asked != index or not 0 <= row < self.count:
                return
            try:
                self._picture(row, width, form, back=back)
            except Exception:  # whoever asks for that frame is told
                return


def shrunk(frame: Frame, width: int | None) -> NDArray[np.uint8]:
    """The picture in RGB, no wider than asked."""
    if width is None or width >= frame.width:
        return frame.rgb()
    return frame.rgb(max(1, round(max(frame.width, frame.height) * width / frame.width)))


def encoded(rgb: NDArray[np.uint8], form: Format) -> bytes:
    """A picture (h, w, 3) RGB, or (h, w, 4) with alpha, as a file."""
    if form == "webp":
        target = io.BytesIO()
        # Of the methods that WebP has, 0 takes twice as long as JPEG, OpenCV's choice seven times.
        Image.fromarray(rgb).save(target, "WEBP", quality=_WEBP_QUALITY, method=0)
        return target.getvalue()
    done, data = cv2.imencode(f".{form}", rgb[..., [2, 1, 0, 3][: rgb.shape[2]]], _QUALITY[form])
    assert done
    return data.tobytes()


def _weight(frame: Frame) -> int:
    return max(_bytes(frame), _FRAMES_BYTES // _MOST_FRAMES)


def _bytes(frame: Frame) -> int:
    return sum(plane.buffer_size for plane in frame.native().planes)
