"""Strips of sound: each where it belongs, to the sample, and faster ones at their own pitch."""

from collections.abc import Iterator

import numpy as np
import pytest

from stores.media.audio import BLOCK_SAMPLES, Block
from stores.media.mixing import Strip, faster, overlaid


def blocks(samples: Block, size: int) -> Iterator[Block]:
    return (samples[at : at + size] for at in range(0, len(samples), size))


def test_strips_are_added_to_the_sample() -> None:
    noise = np.random.default_rng(0).normal(size=(50_000, 1)).astype(np.float32)
    start, stop = BLOCK_SAMPLES - 7, BLOCK_SAMPLES + 40_000
    strips = [
        Strip(start, stop, 0.5, lambda: blocks(noise, 999)),
        Strip(100, 300, 1.0, lambda: blocks(noise[:150], 64)),
        Strip(stop - 5, stop + 5, 1.0, lambda: blocks(np.repeat(noise, 2, axis=1), 4096)),
    ]
    wanted = np.zeros((stop + 5, 2), np.float32)
    wanted[start:stop] += np.float32(0.5) * noise[: stop - start]
    wanted[100:250] += noise[:150]
    wanted[stop - 5 :] += noise[:10]
    np.testing.assert_array_equal(np.concatenate(list(overlaid(strips, channels=2))), wanted)


def test_a_voice_comes_from_the_centre_of_surround_sound() -> None:
    one = np.ones((10, 1), np.float32)
    (heard,) = overlaid([Strip(0, 10, 1.0, lambda: iter([one]))], channels=6)
    assert (heard[:, 2] == 1).all() and heard.sum() == 10


@pytest.mark.parametrize("channels", [1, 2])
def test_faster_sound_keeps_its_pitch(channels: int) -> None:
    tone = np.sin(np.arange(32_000) * 2 * np.pi * 220 / 16_000).astype(np.float32)
    given = np.repeat(tone[:, None], channels, axis=1)
    made = np.concatenate(list(faster(blocks(given, 1000), rate=16_000, factor=1.15)))
    assert made.shape[1] == channels and len(made) == pytest.approx(32_000 / 1.15, abs=200)
    loudest = np.abs(np.fft.rfft(made[:, 0])).argmax() * 16_000 / len(made)
    assert loudest == pytest.approx(220, abs=2)
