"""Sound comes back sample for sample, on the container's clock, in blocks or whole."""

import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stores.errors import MediaError
from stores.media.audio import (
    BLOCK_SAMPLES,
    audio_blocks,
    audio_facts,
    decode_audio,
    exact_length,
    mixed,
)
from tests.media_factory import make_audio, make_still, make_video, tone


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [
        (".wav", "pcm_s16le", 16000),
        (".flac", "flac", 44100),
        (".mp3", "libmp3lame", 44100),
        (".m4a", "aac", 48000),
        (".ogg", "libopus", 48000),
        (".mov", "alac", 44100),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_starts_at_its_first_sample(
    tmp_path: Path, suffix: str, codec: str, rate: int, channels: int
) -> None:
    path = make_audio(
        tmp_path / f"a{suffix}", samples=rate, rate=rate, channels=channels, codec=codec
    )
    wave = decode_audio(path)
    expected = tone(rate, rate=rate, channels=channels)
    # MP4 made elsewhere counts its edit list in milliseconds.
    assert abs(len(wave) - rate) <= rate // 1000 and wave.shape[1] == channels
    assert wave.dtype == np.float32
    middle = slice(rate // 4, rate // 2)
    assert np.sqrt(np.mean((wave[middle] - expected[middle]) ** 2)) < 0.05
    facts = audio_facts(path)
    assert (facts.rate, facts.channels) == (rate, channels)
    assert facts.layout == ("mono" if channels == 1 else "stereo")


def test_resampled_sound_is_as_long_and_in_step(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.wav", samples=44100, rate=44100, channels=2)
    wave = decode_audio(path, rate=16000, mono=True)
    assert wave.shape == (16000, 1)
    assert np.abs(wave[200:-200] - tone(16000)[200:-200]).max() < 0.01


def test_a_range_equals_a_part_of_the_whole(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.wav", samples=40000)
    whole = decode_audio(path)
    np.testing.assert_array_equal(decode_audio(path, start=0.5, stop=1.25), whole[8000:20000])
    with pytest.raises(MediaError, match="no sound from 9 s"):
        decode_audio(path, start=9.0)


def test_blocks_are_bounded_and_add_up(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "a.flac", samples=100_000, codec="flac")
    blocks = list(audio_blocks(path))
    assert len(blocks) > 5 and max(map(len, blocks)) <= BLOCK_SAMPLES
    np.testing.assert_array_equal(np.concatenate(blocks), decode_audio(path))


def test_long_sound_lies_in_memory_once(tmp_path: Path) -> None:
    path = make_audio(tmp_path / "long.wav", samples=640_000)
    tracemalloc.start()
    found = decode_audio(path, rate=16000, mono=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (640_000, 1) and peak < 1.6 * found.nbytes


def test_late_sound_starts_with_silence_and_gaps_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    wave = tone(16000)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", 25)
        picture.width, picture.height = 64, 48
        voice = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for index in range(50):
            frame = av.VideoFrame(64, 48)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for begin, at in [(0, 4000), (8000, 20000)]:
            part = (wave[begin : begin + 8000].T * 32767).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 16000, at, Fraction(1, 16000)
            container.mux(voice.encode(sound))
        container.mux(voice.encode(None))
    heard = decode_audio(path)[:, 0]
    expected = np.zeros(28000, np.float32)
    expected[4000:12000], expected[20000:28000] = wave[:8000, 0], wave[8000:, 0]
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).max() < 1e-3


def test_cutting_and_padding_to_a_length() -> None:
    blocks = [tone(1000), tone(500)]
    longer = np.concatenate(list(exact_length(blocks, 2000, channels=1)))
    assert len(longer) == 2000 and not longer[1500:].any()
    np.testing.assert_array_equal(longer[:1500], np.concatenate(blocks))
    shorter = np.concatenate(list(exact_length(blocks, 1200, channels=1)))
    np.testing.assert_array_equal(shorter, np.concatenate(blocks)[:1200])
    assert np.concatenate(list(exact_length([], 10, channels=2))).shape == (10, 2)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("length", [700, 3000])
def test_a_background_is_added_at_its_gain(channels: int, length: int) -> None:
    speech = [tone(900, channels=2), tone(1100, channels=2)]
    background = np.full((length, channels), 0.25, np.float32)
    pieces = [background[:100], background[100:]]
    heard = np.concatenate(list(mixed(speech, pieces, gain=0.5)))
    expected = np.concatenate(speech)
    assert heard.shape == expected.shape
    end = min(length, 2000)
    np.testing.assert_allclose(heard[:end], expected[:end] + 0.125, atol=1e-6)
    np.testing.assert_array_equal(heard[end:], expected[end:])


def _float_wav(path: Path, samples: np.ndarray) -> Path:
    data = samples.astype("<f4").tobytes()
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    form = struct.pack("<IHHIIHH", 16, 3, channels, 16000, 64000 * channels, 4 * channels, 32)
    path.write_bytes(head + form + b"data" + struct.pack("<I", len(data)) + data)
    return path


@pytest.mark.parametrize(
    ("channels", "values"), [(1, [np.nan]), (2, [np.inf, -np.inf]), (1, [1e30])]
)
def test_sound_that_is_no_number_is_refused(
    channels: int, values: list[float], tmp_path: Path
) -> None:
    samples = np.zeros((4000, channels))
    samples[1234] = values
    with pytest.raises(MediaError, match="no numbers"):
        decode_audio(_float_wav(tmp_path / "a.wav", samples), mono=True)


def test_files_without_sound_are_refused(tmp_path: Path) -> None:
    for path in (make_video(tmp_path / "a.mp4", frames=3), make_still(tmp_path / "a.png")):
        with pytest.raises(MediaError, match="no sound in it"):
            audio_facts(path)
        with pytest.raises(MediaError, match="no sound in it"):
            decode_audio(path)


@pytest.mark.parametrize(
    ("suffix", "codec", "kept"),
    [(".wav", "pcm_s16le", 40000), (".wav", "pcm_s16le", 44 + 4096), (".mp3", "libmp3lame", 6000)],
)
def test_cut_sound_is_refused(tmp_path: Path, suffix: str, codec: str, kept: int) -> None:
    path = make_audio(tmp_path / f"a{suffix}", samples=64000, codec=codec)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MediaError, match=r"cut short|damaged"):
        decode_audio(path)
