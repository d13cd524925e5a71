"""Makes a file that browsers play of one that they don't: python -m viewer.web.proxy

The picture is 720 px high at most, each frame shown when the store says; sound included.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from stores.artifacts.store import Store
from stores.backends.kept import Kept
from stores.media.audio import audio_blocks
from stores.media.source import probe
from stores.runs import find_run
from viewer.web.child import run
from viewer.web.run import RunView, Which

Container = Literal["mp4", "webm"]

MEDIA_TYPES: dict[Container, str] = {"mp4": "video/mp4", "webm": "video/webm"}

_HEIGHT = 720
_RATE_HZ = 48000
_TICK = Fraction(1, 90000)
_TELL_FRAMES = 25
_PICTURE: dict[Container, tuple[str, dict[str, str]]] = {
    "mp4": ("libx264", {"preset": "superfast", "crf": "20", "bf": "0"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0"}),
}
_SOUND: dict[Container, str] = {"mp4": "aac", "webm": "libopus"}


def proxy(request: dict[str, Any], tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Write `target`, of `type`, of the video `which` of the `run` in `store`."""
    store = Store(request["store"])
    view = RunView(store, find_run(store, request["run"]), Kept(0))
    kind: Container = request["type"]
    which: Which = request["which"]
    make(view, which, Path(request["target"]), kind, tell)
    return {}


def make(
    view: RunView, which: Which, target: Path, kind: Container, tell: Callable[[int, int], None]
) -> None:
    """Write the proxy of a run's video.

    Args:
        view: The run.
        which: Of its videos.
        target: File.
        kind: Container.
        tell: Told how many frames are done, of how many.

    Raises:
        DubflowError: the video can't be read.
    """
    clip, facts = view.clip, view.facts[which]
    ticks = clip.pts if which == "source" else view.ticks
    tick = clip.time_base
    codec, options = _PICTURE[kind]
    scale = min(1.0, _HEIGHT / facts.height)
    width, height = (max(2, round(side * scale / 2) * 2) for side in (facts.width, facts.height))
    how = {"movflags": "faststart"} if kind == "mp4" else {}
    with av.open(str(target), "w", format=kind, options=how) as out:
        picture: Any = out.add_stream(codec, round(facts.rate) or 25, options=options)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        picture.codec_context.time_base = _TICK
        picture.codec_context.gop_size = max(1, round(facts.rate))
        heard = _sound(view.video_file(which))
        voice: Any = out.add_stream(_SOUND[kind], _RATE_HZ) if heard else None
        sound = _Sound(out, voice, heard) if heard else None
        reformatter = VideoReformatter()
        for frame in view.pictures(which).all():
            native: VideoFrame = reformatter.reformat(
                frame.native(progressive=True), width, height, "yuv420p"
            )
            seconds = Fraction(int(ticks[frame.index])) * tick
            native.pts, native.time_base = round(seconds / _TICK), _TICK
            native.pict_type = 0
            out.mux(picture.encode(native))
            if sound is not None:
                sound.write(until=float(seconds) + 1)
            if frame.index % _TELL_FRAMES == 0:
                tell(frame.index, len(ticks))
        out.mux(picture.encode(None))
        if sound is not None:
            sound.write(until=None)


def _sound(path: Path) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]] | None:
    return audio_blocks(path, rate=_RATE_HZ, mono=True) if probe(path).has_audio else None


class _Sound:
    """Encodes sound as far as the picture has come."""

    def __init__(
        self,
        out: OutputContainer,
        stream: Any,
        blocks: Iterator[np.ndarray[Any, np.dtype[np.float32]]],
    ) -> None:
        stream.codec_context.layout = "mono"
        self._out, self._stream, self._blocks = out, stream, blocks
        context = stream.codec_context
        self._fitting = AudioResampler(context.format, "mono", _RATE_HZ, frame_size=960)
        self._done = 0

    def write(self, until: float | None) -> None:
        """Encode up to that time [s], or all."""
        while until is None or self._done < until * _RATE_HZ:
            block = next(self._blocks, None)
            if block is None:
                break
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(block.T), "flt", "mono")
            frame.sample_rate, frame.pts = _RATE_HZ, self._done
            frame.time_base = Fraction(1, _RATE_HZ)
            self._done += block.shape[0]
            self._encode(frame)
        if until is None:
            self._encode(None)
            self._out.mux(self._stream.encode(None))

    def _encode(self, frame: AudioFrame | None) -> None:
        for fitted in self._fitting.resample(frame):
            self._out.mux(self._stream.encode(fitted))


if __name__ == "__main__":
    run(proxy)
