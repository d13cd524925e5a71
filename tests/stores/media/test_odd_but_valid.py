"""Files that players play and that look odd: accepted, with exactly what is in them."""

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stores.errors import MediaError
from stores.media.audio import audio_facts, decode_audio
from stores.media.scanning import scan
from tests.media_factory import make_audio, make_video, tone

RATE = 16000


def write_wav(path: Path, samples: np.ndarray, *, length: int | None = None) -> Path:
    """A WAV of samples (sample, channel) -1..1; `length` is what its header says, in bytes."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    if length is not None:
        data = bytearray(path.read_bytes())
        struct.pack_into("<I", data, 4, min(length + 36, 0xFFFFFFFF) if length else 0)
        struct.pack_into("<I", data, 40, length)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0x77359400, 0xFFFFFFFF, 0x7FFFFFDB])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_that_was_piped(length: int, channels: int, tmp_path: Path) -> None:
    sound = tone(2 * RATE + 123, rate=RATE, channels=channels).T.reshape(-1, channels)
    path = write_wav(tmp_path / "piped.wav", sound, length=length)
    assert len(decode_audio(path)) == 2 * RATE + 123


def test_a_wav_that_lacks_what_its_header_promises_is_cut(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "cut.wav", tone(2 * RATE, rate=RATE).reshape(-1, 1), length=900_000)
    with pytest.raises(MediaError, match=r"damaged|cut short"):
        decode_audio(path)


def test_mp3s_joined_with_their_tags(tmp_path: Path) -> None:
    parts = [
        make_audio(tmp_path / f"{n}.mp3", codec="libmp3lame", samples=2 * RATE) for n in range(3)
    ]
    alone = len(decode_audio(parts[0], rate=RATE))
    joined = tmp_path / "joined.mp3"
    tag = b"TAG" + bytes(125)
    joined.write_bytes(b"".join(part.read_bytes() + tag for part in parts))
    # Where two join, what an encoder adds before and behind (up to 0.14 s) is played.
    assert 0 <= len(decode_audio(joined, rate=RATE)) / RATE - 3 * alone / RATE < 0.3


def test_an_mp3_that_states_no_length(tmp_path: Path) -> None:
    """A variable rate without the header that counts frames; libraries guess by its quiet start."""
    quiet = make_audio(tmp_path / "a.mp3", codec="libmp3lame", samples=4 * RATE)
    data = quiet.read_bytes()
    mark = max(data.find(b"Xing"), data.find(b"Info"))
    assert mark > 0
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(data[:mark] + b"None" + data[mark + 4 :])
    assert abs(len(decode_audio(bare, rate=RATE)) / RATE - 4) < 0.2
    bare.write_bytes(bare.read_bytes()[: len(data) // 2])
    assert 1.5 < len(decode_audio(bare, rate=RATE)) / RATE < 2.5, "no header that says otherwise"


def test_a_last_picture_that_is_held(tmp_path: Path) -> None:
    pts = [*range(25), 125]
    path = make_video(
        tmp_path / "held.mp4", frames=26, pts=pts, time_base=Fraction(1, 25), rate=Fraction(25)
    )
    found = scan(path)
    assert len(found) == 26
    assert found.seconds[-1] == pytest.approx(5.0)


@pytest.mark.parametrize("quiet", [0.0, 0.002])
def test_stereo_with_an_inverted_lead_is_heard(quiet: float, tmp_path: Path) -> None:
    left = tone(RATE, rate=RATE).reshape(-1)
    noise = quiet * np.random.default_rng(0).standard_normal(RATE)
    path = write_wav(tmp_path / "inverted.wav", np.stack([left, noise - left], 1).clip(-1, 1))
    heard = decode_audio(path, rate=RATE, mono=True)[:, 0]
    assert np.corrcoef(heard, left)[0, 1] > 0.99
    assert np.abs(heard).max() > 0.9 * np.abs(left).max()


def test_silence_stays_silence(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "silent.wav", np.zeros((RATE, 2)))
    assert not decode_audio(path, rate=RATE, mono=True).any()


@pytest.mark.parametrize("channels", [3, 4, 5, 7])
def test_channels_without_positions_have_a_layout_that_can_be_encoded(
    channels: int, tmp_path: Path
) -> None:
    sound = np.repeat(tone(RATE, rate=RATE).reshape(-1, 1), channels, axis=1)
    layout = audio_facts(write_wav(tmp_path / "many.wav", sound)).layout
    assert av.AudioLayout(layout).nb_channels == channels
    assert "channels" not in layout


def test_the_track_that_the_file_calls_default_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "tracks.mka"
    with av.open(str(path), "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        streams[0].disposition = av.stream.Disposition(0)
        streams[1].disposition = av.stream.Disposition.default
        for stream, level in zip(streams, (0.0, 0.5), strict=True):
            samples = (level * tone(RATE, rate=RATE).reshape(1, -1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert np.abs(decode_audio(path, rate=RATE, mono=True)).max() > 0.2


@pytest.mark.parametrize("bytes_off", [-8, -1, 1, 8, 44])
def test_a_wav_whose_length_is_stated_a_little_wrong(bytes_off: int, tmp_path: Path) -> None:
    sound = tone(2 * RATE, rate=RATE)
    path = write_wav(tmp_path / "off.wav", sound, length=4 * RATE + bytes_off)
    assert len(decode_audio(path)) == 2 * RATE + min(0, bytes_off // 2)
