"""The speech of all cues as one sound file, each where its cue begins, exact to the sample."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame

from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.media.audio import Block, audio_blocks
from stores.media.mixing import Strip, faster, overlaid
from tasks.engine.stage import Made, stage
from tasks.result.settings import Line

VOICES = Schema("voices", {}, {}, "A wave file of 32-bit float samples beside this metadata.")


@stage(VOICES, version=1)
def voices(
    speech: tuple[Source, ...],
    *,
    lines: tuple[Line, ...],
    rate: int,
    channels: int,
    layout: str,
    folder: Path,
) -> Made:
    """Lay the lines over silence.

    Args:
        speech: The files that they are of.
        rate: Of the result [Hz]; files of another rate are resampled.
        channels: Of the result.
        layout: Of the channels.
    """
    strips = [_strip(speech[line.source].path, line, rate) for line in lines]
    name = "voices.wav"
    with av.open(str(folder / name), "w", format="wav", options={"rf64": "auto"}) as container:
        stream: Any = container.add_stream("pcm_f32le", rate=rate)
        stream.codec_context.layout = layout
        stream.time_base = Fraction(1, rate)
        at = 0
        for block in overlaid(strips, channels=channels):
            packed = np.ascontiguousarray(block).reshape(1, -1)
            frame = AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, at, stream.time_base
            container.mux(stream.encode(frame))
            at += len(block)
        container.mux(stream.encode(None))
    return Made(attributes={"file": name, "samples": at, "rate_hz": rate})


def _strip(path: Path, line: Line, rate: int) -> Strip:
    def blocks() -> Iterator[Block]:
        stop = line.offset + line.seconds * line.stretch
        heard = audio_blocks(path, rate=rate, start=line.offset, stop=stop, track=line.track)
        return heard if line.stretch == 1 else faster(heard, rate=rate, factor=line.stretch)

    start, stop = round(line.start * rate), round((line.start + line.seconds) * rate)
    return Strip(start, stop, 10 ** (line.gain_db / 20), blocks)
