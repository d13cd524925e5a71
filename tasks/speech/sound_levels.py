"""How loud each 20 ms of a waveform are, and whether they may be speech."""

from models.quality.sound import window_levels
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage

SOUND_LEVELS = Schema(
    "sound_levels",
    {
        "level": series("loudness", "dB of full scale", dim="window"),
        "clipped": series("share of samples at the end of their scale", dim="window"),
        "speech": series("loud enough to be speech", dtype="bool", dim="window"),
    },
    {},
    "Windows of 20 ms, from time 0 of the container.",
)


@stage(SOUND_LEVELS, version=1)
def sound_levels(waveform: Artifact) -> Made:
    """Loudness, clipping and speech."""
    levels, clipped, speech = window_levels(
        waveform.read("sample"), int(waveform.attributes["rate_hz"])
    )
    return Made({"level": levels, "clipped": clipped, "speech": speech})
