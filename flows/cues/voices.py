"""The voices of a file of speech, where its channels or tracks hold one each."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.audio.mel import SAMPLE_RATE
from stores.media.audio import audio_facts, decode_audio
from stores.media.tracks import sound_tracks

_ALIKE = 0.9
"""Channels that correlate more are of one mix."""
_SILENT = 1e-3


@dataclass(frozen=True)
class Voice:
    """Sound of one voice, or of all that are heard.

    Attributes:
        path: The file.
        track: Of `find_track`.
    """

    path: Path
    track: int | None = None


def voices_of(path: Path, sheet: Path) -> list[Voice]:
    """Its tracks, if it has several; else its channels, if they differ; else all of it.

    Args:
        sheet: Channels are written beside it, as .wav files of its name and a number.
    """
    tracks = sound_tracks(path)
    if len(tracks) > 1:
        return [Voice(path, track.number) for track in tracks]
    if audio_facts(path).channels == 1:
        return [Voice(path)]
    samples = decode_audio(path, rate=SAMPLE_RATE)
    loud = samples[:, np.abs(samples).max(axis=0) > _SILENT]
    if loud.shape[1] < 2 or (np.corrcoef(loud.T) > _ALIKE).sum() > loud.shape[1]:
        return [Voice(path)]
    found = []
    for number, channel in enumerate(loud.T, 1):
        target = sheet.with_name(f"{sheet.stem}.voice{number}.wav")
        with wave.open(str(target), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            steps = np.rint(np.clip(channel, -1, 1) * 32767)
            file.writeframes(steps.astype("<i2").tobytes())
        found.append(Voice(target))
    return found
