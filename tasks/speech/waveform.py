"""Sound as the models take it: a mono waveform at 16 kHz."""

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import SAMPLE_RATE
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.audio import decode_audio
from tasks.engine.stage import Made, stage
from tasks.source.span import Span

WAVEFORM = Schema(
    "waveform",
    {
        "sample": ArraySpec(
            ("sample",), "float32", "", "mono, 16 kHz, -1..1", chunk=1 << 16, shard=1 << 22
        )
    },
    {},
    "Sample 0 is time 0 of the timeline.",
)


@stage(WAVEFORM, version=3)
def waveform(audio: Source, *, track: int | None = None, part: Span | None = None) -> Made:
    """Decode, mix down and resample the sound of an audio or video file.

    Args:
        track: Of `find_track`.
        part: What is read; None: the whole.

    Raises:
        MediaError: there is no sound in the file, or it is damaged.
    """
    notes: list[str] = []
    start, stop = (part.start, part.stop) if part else (0.0, None)
    heard = decode_audio(
        audio.path, rate=SAMPLE_RATE, mono=True, start=start, stop=stop, track=track, notes=notes
    )
    samples = heard[:, 0]
    facts = {"rate_hz": SAMPLE_RATE, "seconds": len(samples) / SAMPLE_RATE, "notes": notes}
    return Made({"sample": samples}, facts)


class StoredSamples:
    """A waveform of which those samples are read that are asked for: hours may be too much."""

    def __init__(self, waveform: Artifact) -> None:
        self._waveform, self.shape = waveform, (waveform.sizes["sample"],)

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        return self._waveform.read("sample", part.start, part.stop)
