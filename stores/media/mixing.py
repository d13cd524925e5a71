"""Strips of sound laid over each other, exact to the sample, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import av
import av.error
import av.filter
import numpy as np
from av.audio.frame import AudioFrame

from stores.media.audio import BLOCK_SAMPLES, Block

_CENTRE, _SURROUND = 2, 6
"""Where one voice goes in sound of so many channels or more."""


@dataclass(frozen=True)
class Strip:
    """Sound that is heard for a while.

    Attributes:
        start: Its first sample in the mixture ...
        stop: ... and one past the last.
        gain: factor.
        blocks: Its sound from its beginning on, of any length and number of channels.
    """

    start: int
    stop: int
    gain: float
    blocks: Callable[[], Iterator[Block]]


def overlaid(strips: Sequence[Strip], *, channels: int) -> Iterator[Block]:
    """The sum of the strips, up to the end of the last."""
    end = max((strip.stop for strip in strips), default=0)
    readers: dict[int, _Reader] = {}
    for begin in range(0, end, BLOCK_SAMPLES):
        out = np.zeros((min(BLOCK_SAMPLES, end - begin), channels), np.float32)
        for number, strip in enumerate(strips):
            first, last = max(begin, strip.start), min(begin + len(out), strip.stop)
            if first >= last:
                readers.pop(number, None)
                continue
            reader = readers.setdefault(number, _Reader(strip.blocks()))
            piece = reader.take(last - first)
            at = out[first - begin : first - begin + len(piece)]
            at += np.float32(strip.gain) * _spread(piece, channels)
        yield out


class _Reader:
    """Blocks, taken in pieces of other lengths."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks, self._rest = blocks, np.zeros((0, 1), np.float32)

    def take(self, samples: int) -> Block:
        """So many more samples; fewer at the end."""
        parts, have = [self._rest] if len(self._rest) else [], len(self._rest)
        while have < samples and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            have += len(block)
        joined = np.concatenate(parts) if parts else self._rest
        self._rest = joined[samples:]
        taken: Block = joined[:samples]
        return taken


def _spread(block: Block, channels: int) -> Block:
    """One channel into all, or into the centre of surround sound; several averaged if need be."""
    if block.shape[1] == channels:
        return block
    if block.shape[1] > 1:
        block = block.mean(axis=1, keepdims=True, dtype=np.float32)
    if channels < _SURROUND:
        return np.repeat(block, channels, axis=1)
    centred = np.zeros((len(block), channels), np.float32)
    centred[:, _CENTRE] = block[:, 0]
    return centred


def faster(blocks: Iterable[Block], *, rate: int, factor: float) -> Iterator[Block]:
    """Sound made faster with its pitch kept, by FFmpeg's `atempo`.

    Args:
        blocks: All of the same number of channels, 8 at most.
        rate: Hz.
        factor: 1..2.
    """
    graph = entry = leave = None
    for block in blocks:
        if graph is None:
            graph, layout = av.filter.Graph(), _LAYOUTS[block.shape[1]]
            told = f"sample_rate={rate}:sample_fmt=flt:channel_layout={layout}:time_base=1/{rate}"
            entry, leave = graph.add("abuffer", told), graph.add("abuffersink")
            tempo = graph.add("atempo", f"{factor:.9f}")
            flat = graph.add("aformat", "sample_fmts=flt")
            for one, other in ((entry, tempo), (tempo, flat), (flat, leave)):
                one.link_to(other)
            graph.configure()
        packed = np.ascontiguousarray(block, np.float32).reshape(1, -1)
        frame = AudioFrame.from_ndarray(packed, format="flt", layout=_LAYOUTS[block.shape[1]])
        frame.sample_rate = rate
        graph.push(frame)
        yield from _pulled(graph, block.shape[1])
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, block.shape[1])


_LAYOUTS = {
    **{1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0"},
    **{6: "5.1", 7: "6.1", 8: "7.1"},
}


def _pulled(graph: av.filter.Graph, channels: int) -> Iterator[Block]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield np.asarray(frame.to_ndarray(), np.float32).reshape(-1, channels)
