"""Files that players play and that look odd: accepted, with exactly what is in them."""

import struct
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from stores.errors import MediaError
from stores.media.audio import audio_facts, decode_audio
from stores.media.glance import glance
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.tracks import find_track
from tests.media_factory import make_audio, make_video, pattern, tone

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
    alone = len(decode_audio(parts[0]))
    joined = tmp_path / "joined.mp3"
    tag = b"TAG" + bytes(125)
    joined.write_bytes(b"".join(part.read_bytes() + tag for part in parts))
    # Where two join, what an encoder adds before and behind (up to 0.14 s) is played.
    heard = decode_audio(joined)
    assert 0 <= len(heard) / RATE - 3 * alone / RATE < 0.3
    with av.open(str(joined)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    played = sum(not packet.startswith(b"TAG") for packet in packets)
    assert len(heard) == played * 576 - 1105, "the tags take no time"


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


def tracks_of_levels(path: Path, levels: list[float], *, picture: bool = False) -> Path:
    """A file with one track for each level of loudness; the second is marked as default."""
    names = [("deu", "Desktop"), ("eng", "Mic"), ("", "")]
    with av.open(str(path), "w") as container:
        codec = "aac" if path.suffix == ".mp4" else "pcm_s16le"
        streams: list[Any] = [container.add_stream(codec, rate=RATE, layout="mono") for _ in levels]
        if picture:
            shown: Any = container.add_stream("mpeg4", 25)
            shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
            for number in range(25):
                drawn = av.VideoFrame.from_ndarray(pattern(number, 64, 48), format="rgb24")
                container.mux(shown.encode(drawn.reformat(format="yuv420p")))
            container.mux(shown.encode(None))
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition(int(number == 1))
            stream.metadata.update({"language": names[number][0], "title": names[number][1]})
        for stream, level in zip(streams, levels, strict=True):
            samples = (level * tone(RATE, rate=RATE).reshape(1, -1)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mka", ".mp4"])
def test_the_default_track_is_heard_unless_another_is_chosen(tmp_path: Path, suffix: str) -> None:
    path = tracks_of_levels(tmp_path / f"tracks{suffix}", [0.2, 1.0, 0.6])
    peaks = {}
    for wanted in ("default", "1", "2", "3", "deu", "de", "ENG"):
        track = find_track(path, wanted)
        assert audio_facts(path, track=track).rate == RATE
        peaks[wanted] = float(np.abs(decode_audio(path, rate=RATE, track=track)).max())
    expected = {"default": 0.5, "1": 0.1, "2": 0.5, "3": 0.3, "deu": 0.1, "de": 0.1, "ENG": 0.5}
    assert peaks == pytest.approx(expected, abs=0.05)
    assert find_track(path, "2") is None, "the default one by its number is no other sound"


@pytest.mark.parametrize("wanted", ["4", "0", "fra", "-1"])
def test_a_track_that_is_not_there(tmp_path: Path, wanted: str) -> None:
    path = tracks_of_levels(tmp_path / "tracks.mka", [0.2, 1.0, 0.6])
    with pytest.raises(MediaError, match=r"1 \(deu, Desktop\), 2 \(eng, Mic, default\), 3"):
        find_track(path, wanted)


@pytest.mark.parametrize(
    "between", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(56)], ids=["ID3v2", "ID3v1", "APE"]
)
def test_tags_between_joined_mp3s_are_noted(tmp_path: Path, between: bytes) -> None:
    part = make_audio(tmp_path / "a.mp3", codec="libmp3lame", samples=2 * RATE).read_bytes()
    joined = tmp_path / "joined.mp3"
    joined.write_bytes((part + between) * 3)
    notes: list[str] = []
    decode_audio(joined, notes=notes)
    assert ["bytes of tags between" in note for note in notes] == [True]
    decode_audio(tmp_path / "a.mp3", notes=(none := []))
    assert none == []


@pytest.mark.parametrize("suffix", [".mp3", ".aac"])
def test_a_rate_that_changes_is_resampled(tmp_path: Path, suffix: str) -> None:
    codec = "libmp3lame" if suffix == ".mp3" else "aac"
    path = tmp_path / f"joined{suffix}"
    kinds = [(48000, 1), (24000, 2), (48000, 1)]
    parts = [
        make_audio(tmp_path / f"{n}{suffix}", codec=codec, samples=2 * rate, rate=rate, channels=c)
        for n, (rate, c) in enumerate(kinds)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    notes: list[str] = []
    heard = decode_audio(path, notes=notes)
    assert heard.shape[1] == 1
    assert len(heard) / 48000 == pytest.approx(6, abs=0.3)
    for second in (1, 3, 5):
        part = heard[second * 48000 : second * 48000 + 24000, 0]
        assert 0.3 < np.abs(part).max() < 0.8, "each part is as loud as it was"
        crossings = int((np.diff(np.signbit(part).astype(int)) != 0).sum())
        assert 150 < crossings < 450, "and of the same pitch"
    (note,) = (note for note in notes if "changes on the way" in note)
    assert "24000 Hz stereo" in note and "48000 Hz mono" in note


def sizes_in_turn(path: Path, sizes: list[tuple[int, int]], *, frames: int = 8) -> Path:
    """A recorded call whose picture changes its size, as VP8 may at any keyframe."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libvpx", 25)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        for part, (width, height) in enumerate(sizes):
            encoder: Any = av.CodecContext.create("libvpx", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base = Fraction(1, 25)
            packets = []
            for number in range(frames):
                picture = av.VideoFrame.from_ndarray(pattern(0, width, height), format="rgb24")
                frame = picture.reformat(format="yuv420p")
                frame.pts, frame.time_base = part * frames + number, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode(None)]:
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
    return path


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path: Path) -> None:
    path = sizes_in_turn(tmp_path / "call.webm", [(320, 240), (160, 120), (212, 160)])
    clip = scan(path)
    assert len(clip) == 24 and clip.video.scaled
    (note,) = clip.notes
    assert "160x120, 212x160 px" in note and "320x240" in note
    pictures = [frame.rgb() for frame in read_frames(path, clip, 0, 24)]
    assert {picture.shape for picture in pictures} == {(240, 320, 3)}
    assert np.abs(pictures[0].astype(int) - pictures[12]).mean() < 4
    (alone,) = read_frames(path, clip, 12, 13)
    np.testing.assert_array_equal(alone.rgb(), pictures[12])
    assert [frame.width for frame in glance(path, 6)] == [320] * 6


def test_a_shape_that_changes_is_refused(tmp_path: Path) -> None:
    path = sizes_in_turn(tmp_path / "turned.webm", [(320, 240), (240, 320)])
    with pytest.raises(MediaError, match=r"from 320x240 to 240x320 at frame 8.*convert"):
        scan(path)


def test_colour_tags_that_only_the_header_has_are_kept(tmp_path: Path) -> None:
    """The frames of ProRes say "unspecified", and the decoder then says so for the file."""
    path = make_video(
        tmp_path / "pq.mov", codec="prores_ks", pix_fmt="yuv422p10le", frames=4, tags=(9, 16, 9)
    )
    video = scan(path).video
    assert (video.color_primaries, video.color_transfer, video.color_matrix) == (9, 16, 9)
    assert video.hdr
    (frame, *_) = glance(path, 2)
    assert frame.layout.codes.red_weight == pytest.approx(0.2627)


def write_rgba(path: Path, rgba: np.ndarray, codec: str, pix_fmt: str, **options: str) -> None:
    """Three frames of a picture."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, 25, options=options)
        stream.width, stream.height, stream.pix_fmt = rgba.shape[1], rgba.shape[0], pix_fmt
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("transparent", [True, False])
@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".png", "png", "rgba"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".mov", "qtrle", "argb"),
        (".gif", "gif", "pal8"),
    ],
)
def test_lost_transparency_is_said_where_there_is_some(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str, transparent: bool
) -> None:
    rgba = np.concatenate([pattern(0, 64, 48), np.full((48, 64, 1), 255, np.uint8)], axis=2)
    if transparent:
        rgba[:8, :8, 3] = 0
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        cv2.imwrite(str(path), rgba)
    elif suffix == ".gif":
        Image.fromarray(rgba).save(path, save_all=True, append_images=[Image.fromarray(rgba // 2)])
    else:
        write_rgba(path, rgba, codec, pix_fmt)
    notes = scan(path).notes
    assert ["transparent" in note for note in notes] == [True] * transparent


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuv420p"])
def test_alpha_that_no_frame_shows_is_said(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    rgba = np.concatenate([pattern(0, 64, 48), np.full((48, 64, 1), 90, np.uint8)], axis=2)
    write_rgba(tmp_path / "a.webm", rgba, codec, pix_fmt, **{"auto-alt-ref": "0"})
    notes = scan(tmp_path / "a.webm").notes
    assert ["how transparent" in note for note in notes] == [True] * (pix_fmt == "yuva420p")


def test_a_recording_that_begins_between_keyframes_says_so(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", frames=50, options={"g": "20"})
    assert scan(path).notes == []
    data = path.read_bytes()
    path.write_bytes(data[: 188 * 3] + data[188 * 8 :])
    (note,) = scan(path).notes
    assert "begins between two keyframes" in note


@pytest.mark.parametrize("bytes_off", [-8, -1, 1, 8, 44])
def test_a_wav_whose_length_is_stated_a_little_wrong(bytes_off: int, tmp_path: Path) -> None:
    sound = tone(2 * RATE, rate=RATE)
    path = write_wav(tmp_path / "off.wav", sound, length=4 * RATE + bytes_off)
    assert len(decode_audio(path)) == 2 * RATE + min(0, bytes_off // 2)
