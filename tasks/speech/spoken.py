"""What is heard while a cue is seen, as a waveform of its own."""

import numpy as np

from models.audio.mel import SAMPLE_RATE
from stores.artifacts.artifact import Artifact
from stores.media.mixing import faster
from tasks.engine.stage import Made, stage
from tasks.speech.waveform import WAVEFORM


@stage(WAVEFORM, version=1)
def spoken(
    waveform: Artifact | None,
    *,
    lead_seconds: float,
    offset_seconds: float,
    seconds: float,
    stretch: float,
) -> Made:
    """Silence, and then a part of a speech file.

    Args:
        waveform: Of the file; None for silence alone.
        lead_seconds: How long the silence lasts.
        offset_seconds: Where the part begins in the file.
        seconds: How long it lasts here at most; cut or silent after that.
        stretch: How much faster it is than in the file, at the same pitch.
    """
    lead, count = (round(each * SAMPLE_RATE) for each in (lead_seconds, seconds))
    first = round(offset_seconds * SAMPLE_RATE)
    part = np.zeros(count, np.float32)
    if waveform is not None:
        part = waveform.read("sample", first, first + round(seconds * stretch * SAMPLE_RATE))
        if stretch != 1:
            made = faster([part[:, None]], rate=SAMPLE_RATE, factor=stretch)
            part = np.concatenate([part[:0, None], *made])[:, 0]
    samples = np.concatenate([np.zeros(lead, np.float32), part[:count]])
    facts = {"rate_hz": SAMPLE_RATE, "seconds": len(samples) / SAMPLE_RATE, "notes": []}
    return Made({"sample": samples}, facts)
