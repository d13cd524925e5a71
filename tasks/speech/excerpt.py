"""A part of a waveform, as a waveform of its own."""

from models.audio.mel import SAMPLE_RATE
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Made, stage
from tasks.speech.waveform import WAVEFORM


@stage(WAVEFORM, version=1)
def excerpt(waveform: Artifact, *, start_seconds: float, stop_seconds: float) -> Made:
    """Cut the part [start, stop) out of a waveform."""
    first, last = (round(each * SAMPLE_RATE) for each in (start_seconds, stop_seconds))
    samples = waveform.read("sample", first, last)
    facts = {"rate_hz": SAMPLE_RATE, "seconds": len(samples) / SAMPLE_RATE, "notes": []}
    return Made({"sample": samples}, facts)
