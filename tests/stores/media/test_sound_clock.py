"""Pictures and sound are where a plain decode of the file has them, whatever its clock does."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from stores.media.audio import decode_audio
from stores.media.clock import clock_zero
from stores.media.read import read_frames
from stores.media.scanning import scan
from tests.media_factory import NTSC, make_audio, make_video, tone

RATE = 44100
KINDS: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "mp4": ("mp4", ("aac", "alac", "flac"), {}),
    "fragmented": ("mp4", ("aac", "flac"), {"movflags": "frag_keyframe+empty_moov"}),
    "mov": ("mov", ("aac", "alac", "pcm_s16le"), {}),
    "mkv": ("mkv", ("aac", "flac", "pcm_s16le"), {}),
    "ts": ("ts", ("aac", "mp2"), {}),
    "flv": ("flv", ("aac", "pcm_s16le"), {}),
}
"""Suffix, codecs of the sound and options of the container."""
RATES = (Fraction(15), Fraction(25), *NTSC.values())
FRAMES = 24


@dataclass(frozen=True)
class Talk:
    """A file whose pictures tell their number by their brightness."""

    kind: str
    codec: str
    rate: Fraction = Fraction(25)
    reordered: bool = False
    picture_late: Fraction = Fraction(0)
    sound_late: Fraction = Fraction(0)
    gap: Fraction = Fraction(0)
    drift: Fraction = Fraction(1)
    seconds: float = 1.2

    def write(self, folder: Path) -> Path:
        suffix, _, options = KINDS[self.kind]
        path = folder / f"{self.kind}.{suffix}"
        with av.open(str(path), "w", options=options) as container:
            picture: Any = container.add_stream(
                "libx264", self.rate, options={"bf": "2" if self.reordered else "0", "g": "12"}
            )
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
            sound: Any = container.add_stream(self.codec, rate=RATE, layout="mono")
            packets = [*self._pictures(picture), *self._sounds(sound)]
            for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
                container.mux(packet)
        return path

    def _pictures(self, stream: Any) -> Iterator[Any]:
        frames: list[Any] = []
        for number in range(FRAMES):
            grey = np.full((32, 32), 20 + 9 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, 1 / self.rate
            frames.append(frame)
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                yield moved(packet, packet.pts + self.picture_late * self.rate)

    def _sounds(self, stream: Any) -> Iterator[Any]:
        samples = (noise(round(self.seconds * RATE))[None] * 32767).astype(np.int16)
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        convert = av.AudioResampler(format=stream.codec_context.format.name, rate=RATE)
        pieces: list[Any] = []
        for begin in range(0, samples.shape[1], size):
            piece = np.ascontiguousarray(samples[:, begin : begin + size])
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            pieces += convert.resample(frame)
        for frame in [*pieces, None]:
            for packet in stream.encode(frame):
                at = packet.pts * self.drift
                if packet.pts > self.seconds / 2 * RATE:
                    at += self.gap * RATE
                yield moved(packet, at + self.sound_late * RATE)


def moved(packet: Any, pts: Fraction) -> Any:
    shift = round(pts) - packet.pts
    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
    return packet


def noise(samples: int) -> NDArray[np.float64]:
    """Noise below some 600 Hz, no two stretches of which are alike."""
    smooth = np.hanning(80)
    wave = np.convolve(np.random.default_rng(0).standard_normal(samples), smooth, "same")
    return np.asarray(0.5 * wave / np.abs(wave).max())


@dataclass(frozen=True)
class Plain:
    """What PyAV alone decodes: the time, from what comes first on, and content of each frame."""

    pictures: list[tuple[float, float]]
    sounds: list[tuple[float, NDArray[np.float32]]]
    tick: float

    @classmethod
    def of(cls, path: Path) -> "Plain":
        pictures, sounds = [], []
        with av.open(str(path)) as container:
            tick = max(float(stream.time_base or 0) for stream in container.streams)
            running = container.format.name in ("mpegts", "flv")
            for frame in container.decode():
                assert frame.pts is not None and frame.time_base is not None
                at = float(frame.pts * frame.time_base)
                if isinstance(frame, av.VideoFrame):
                    pictures.append((at, float(frame.to_ndarray(format="gray").mean())))
                elif isinstance(frame, av.AudioFrame):
                    scale = 32768 if frame.format.name.startswith("s16") else 1
                    scale = 2**31 if frame.format.name.startswith("s32") else scale
                    sounds.append((at, frame.to_ndarray()[0].astype(np.float32) / scale))
        zero = min(pictures[0][0], sounds[0][0])
        zero = zero if zero > 0 or running else 0.0
        return cls(
            [(at - zero, grey) for at, grey in pictures],
            [(at - zero, heard) for at, heard in sounds],
            max(tick, 1 / RATE),
        )


def shift_of(piece: NDArray[np.float32], heard: NDArray[np.float32], at: float) -> float:
    """By how many seconds a piece is heard later than at `at`."""
    begin, most = round(at * RATE), round(0.012 * RATE)
    around = np.pad(heard, (most, most + len(piece)))[begin : begin + len(piece) + 2 * most]
    windows = np.lib.stride_tricks.sliding_window_view(around, len(piece))
    return float(((windows - piece) ** 2).sum(axis=1).argmin() - most) / RATE


def check(talk: Talk) -> None:
    with TemporaryDirectory() as folder:
        path = talk.write(Path(folder))
        plain = Plain.of(path)
        found = scan(path)
        greys = [float(frame.rgb().mean()) for frame in read_frames(path, found, 0, len(found))]
        heard = decode_audio(path)[:, 0]
    np.testing.assert_allclose(found.seconds, [at for at, _ in plain.pictures], atol=plain.tick)
    np.testing.assert_array_equal(
        np.argsort(greys), np.argsort([grey for _, grey in plain.pictures])
    )
    assert len(greys) == FRAMES
    # In step to a tick of the file; sound that drifts is caught up with within a moment.
    caught_up = 0.004 if KINDS[talk.kind][0] in ("mp4", "mov") else 0.009
    bound = caught_up if talk.drift != 1 else plain.tick + 1.01 / RATE
    for at, frame in plain.sounds:
        middle = len(frame) // 2
        piece = frame[middle - 200 : middle + 200]
        if len(piece) == 400 and at + 0.1 < len(heard) / RATE:
            assert abs(shift_of(piece, heard, at + (middle - 200) / RATE)) <= bound, at
    at, last = plain.sounds[-1]
    assert abs(len(heard) / RATE - at - len(last) / RATE) <= bound + 4608 / RATE


LATE = some.sampled_from([Fraction(0), Fraction(3, 100), Fraction(1, 4)])
TALKS = some.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: some.builds(
        Talk,
        kind=some.just(kind),
        codec=some.sampled_from(KINDS[kind][1]),
        rate=some.sampled_from(RATES),
        reordered=some.booleans(),
        picture_late=LATE,
        sound_late=LATE,
        gap=some.sampled_from([Fraction(0), Fraction(1, 10), Fraction(3, 10)]),
        drift=some.sampled_from([Fraction(1), Fraction(1), Fraction(98, 100), Fraction(102, 100)]),
    )
)


@given(TALKS)
@settings(max_examples=12)
def test_any_clock_is_kept(talk: Talk) -> None:
    check(talk)


@pytest.mark.slow
@given(TALKS)
@settings(max_examples=200)
def test_every_clock_is_kept(talk: Talk) -> None:
    check(talk)


@pytest.mark.parametrize("ratio", [Fraction(98, 100), Fraction(999, 1000), Fraction(102, 100)])
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_sound_that_drifts_ends_when_its_clock_does(kind: str, ratio: Fraction) -> None:
    """As screen recorders write it: in 14 s, 0.28 s ahead or behind."""
    talk = Talk(kind, "flac", drift=ratio, seconds=14.0)
    with TemporaryDirectory() as folder:
        heard = decode_audio(talk.write(Path(folder)))[:, 0]
    assert len(heard) / RATE == pytest.approx(14 * float(ratio), abs=0.009)
    said = noise(14 * RATE).astype(np.float32)
    for second in range(1, 13):
        piece = said[second * RATE :][:400]
        assert abs(shift_of(piece, heard, second * float(ratio))) <= 0.009


@pytest.mark.parametrize("codec", ["aac", "flac"])
def test_sound_in_step_passes_untouched(codec: str) -> None:
    with TemporaryDirectory() as folder:
        path = Talk("mkv", codec).write(Path(folder))
        heard, plain = decode_audio(path)[:, 0], Plain.of(path).sounds
    np.testing.assert_array_equal(heard, np.concatenate([frame for _, frame in plain]))


def test_what_is_decoded_first_decides_not_the_header(tmp_path: Path) -> None:
    """Opus of speech says in its header that it begins later than it does."""
    late = list(range(5, 30))
    path = make_video(
        tmp_path / "a.mkv", pts=late, time_base=Fraction(1, 25), audio="libopus", audio_rate=16000
    )
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        assert sound.start_time, "else this file is none of the kind"
        first = next(container.decode(sound))
    assert clock_zero(path) == first.pts * Fraction(sound.time_base or 0) == 0
    assert scan(path).start_seconds == pytest.approx(0.2, abs=0.001)


@pytest.mark.parametrize("suffix", [".ogg", ".webm", ".mkv"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_vorbis_begins_with_its_first_sample(suffix: str, rate: int, tmp_path: Path) -> None:
    """The first packet of Vorbis only gets the decoder going."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("PyAV has no encoder that makes blocks of several lengths")
    samples = 2 * rate
    source = make_audio(tmp_path / "a.wav", samples=samples, rate=rate)
    path = tmp_path / f"a{suffix}"
    convert = [ffmpeg, "-v", "error", "-i", str(source), "-c:a", "libvorbis", str(path)]
    subprocess.run(convert, check=True)
    heard = decode_audio(path)[:, 0]
    assert abs(len(heard) - samples) < 1024, "Matroska may keep the last block's padding"
    assert np.abs(heard[:rate] - tone(rate, rate=rate)[:, 0]).max() < 0.1
