"""The mark in sound: found, inaudible by its level, the same whatever the blocks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.marks.sound import DETECTION_HZ, find_in_sound, marked_sound

PAYLOAD = 0x1234ABCD
Sound = NDArray[np.float32]


def voice(seconds: float, rate: int, channels: int = 1) -> Sound:
    """Harmonics that glide and come and go as syllables do, in noise: (sample, channel)."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time)) / rate
    tones = sum(np.sin(k * pitch) / k for k in range(1, min(40, int(rate / 2 / 160))))
    noise = np.random.default_rng(0).normal(size=len(time))
    loud = 0.1 + np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    mono = 0.1 * loud * (tones + 0.05 * noise)
    return np.repeat(mono[:, None], channels, axis=1).astype(np.float32)


def marked(sound: Sound, rate: int, size: int = 4096) -> Sound:
    blocks = [sound[at : at + size] for at in range(0, len(sound), size)]
    return np.concatenate(list(marked_sound(blocks, rate=rate, payload=PAYLOAD)))


def test_it_is_found_after_a_cut_and_a_change_of_level() -> None:
    sound = marked(voice(5, DETECTION_HZ), DETECTION_HZ)[:, 0]
    for start, gain in ((0, 1.0), (4321, 1.41), (7003, 0.708)):
        reading = find_in_sound(np.float32(gain) * sound[start:])
        assert reading.found and reading.payload == PAYLOAD
    assert not find_in_sound(voice(5, DETECTION_HZ)[:, 0]).found


def test_it_is_found_in_sound_that_plays_as_television_plays_film() -> None:
    sound = marked(voice(6, DETECTION_HZ), DETECTION_HZ)[:, 0]
    for speed in (25 / 24, 24 / 25):
        played = np.interp(np.arange(0, len(sound) - 1, speed), np.arange(len(sound)), sound)
        assert find_in_sound(played.astype(np.float32)).payload == PAYLOAD


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
def test_at_another_rate_it_lies_in_the_same_places(rate: int) -> None:
    sound = voice(4, rate, channels=2)
    out = marked(sound, rate)
    assert out.shape == sound.shape and out.dtype == np.float32
    at = np.arange(round(4 * DETECTION_HZ)) * rate / DETECTION_HZ
    low = np.interp(at, np.arange(len(out)), out.mean(axis=1)).astype(np.float32)
    assert find_in_sound(low).payload == PAYLOAD


@pytest.mark.parametrize("kind", ["voice", "noise", "tone"])
def test_30_db_lie_between_the_sound_and_the_mark(kind: str) -> None:
    time = np.arange(2 * 16000) / 16000
    sounds = {
        "voice": voice(2, 16000),
        "noise": np.random.default_rng(1).normal(size=(len(time), 1)).astype(np.float32) * 0.1,
        "tone": 0.5 * np.sin(2 * np.pi * 440 * time)[:, None].astype(np.float32),
    }
    sound = sounds[kind]
    noise = marked(sound, 16000) - sound
    assert 10 * np.log10(np.square(sound).sum() / np.square(noise).sum()) >= 30


def test_blocks_change_nothing_and_silence_stays_silent() -> None:
    sound = voice(1, 16000)
    sound[3000:9000] = 0
    whole = marked(sound, 16000, len(sound))
    for size in (1, 777):
        np.testing.assert_array_equal(marked(sound, 16000, size), whole)
    assert not whole[3000 + 640 : 9000 - 640].any()


def test_the_shortest_sounds_pass() -> None:
    for samples in (1, 100, 700):
        assert len(marked(np.ones((samples, 1), np.float32), 16000)) == samples
        assert not find_in_sound(np.ones(samples, np.float32)).found
