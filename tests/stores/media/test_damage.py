"""What can't be used is refused in one line that names the file, and never concealed."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stores.errors import MediaError
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.source import probe
from tests.media_factory import DAMAGES, damage, make_audio, make_still, make_video


def refusal(path: Path) -> str:
    """The one line with which a file is refused, without its path."""
    with pytest.raises(MediaError) as caught:
        scan(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert ";" in message  # what to do next follows
    return message.removeprefix(f"{path}: ")


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert refusal(path) == "no such file; check the path"
    assert "not a regular file" in refusal(tmp_path)
    path.write_bytes(b"")
    assert refusal(path.with_name("b.mp4")) == f"no such file; did you mean {path}?"
    assert "empty" in refusal(path)
    path.write_text("no video at all\n" * 100)
    assert "not a media file" in refusal(path)
    path.write_bytes(np.random.default_rng(0).bytes(50_000))
    assert "not a media file" in refusal(path)
    make_audio(path, codec="aac")
    assert "only sound" in refusal(path)


def test_a_video_of_one_frame_or_none_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=1)
    assert "single frame" in refusal(path)
    with av.open(str(path), "w") as container:
        container.add_stream("mpeg4", 25, width=64, height=48)
        container.start_encoding()
    refusal(path)


@pytest.mark.parametrize("faststart", [True, False])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95, 0.999])
def test_a_truncated_video_is_refused(tmp_path: Path, share: float, faststart: bool) -> None:
    options = {"movflags": "faststart"} if faststart else {}
    path = make_video(tmp_path / "a.mp4", frames=50, audio="aac", container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refusal(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_still_is_refused(tmp_path: Path, suffix: str) -> None:
    path = make_still(tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["hls", "concat", "sdp"],
)
def test_playlists_reach_no_other_file(tmp_path: Path, content: str) -> None:
    other = make_video(tmp_path / "other.mp4", frames=5)
    for name in ("a.mp4", "a.m3u8", "a.txt"):
        path = tmp_path / name
        path.write_text(content.format(other=other))
        assert "not a media file" in refusal(path)


def test_names_are_never_addresses(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        probe("http://127.0.0.1:9/a.mp4")
    with pytest.raises(MediaError, match="no such file"):
        probe("concat:a.mp4|b.mp4")
    odd = make_video(tmp_path / "a %03d; $(x) 'é'.mp4", frames=3)
    assert len(scan(odd)) == 3


def test_a_picture_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    parts = [make_video(tmp_path / f"{side}.ts", frames=10, size=(side, 120)) for side in (160, 96)]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert "changes from 160x120" in refusal(path) or "damaged" in refusal(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_damage_is_found_unless_it_decodes_like_any_picture(tmp_path: Path, suffix: str) -> None:
    """Of all damages only single changes inside compressed pictures or sound may pass.

    H.264 and AAC carry no checksums, so a changed bit can decode to a valid, slightly different
    picture. Matroska made here has checksums.
    """
    source = make_video(
        tmp_path / f"a{suffix}", frames=60, size=(320, 240), real_faces=True, audio="aac"
    )
    passed = {kind: 0 for kind in DAMAGES}
    for seed in range(48):
        kind = DAMAGES[seed % len(DAMAGES)]
        damaged = damage(source, tmp_path / f"damaged{suffix}", kind=kind, seed=seed)
        try:
            scan(damaged)
        except MediaError as error:
            assert str(error).startswith(f"{damaged}: ") and "\n" not in str(error)
        else:
            passed[kind] += 1
    assert passed["flip"] <= 6
    assert sum(passed.values()) - passed["flip"] <= 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_broken_structure_is_refused_as_speech_too(tmp_path: Path, suffix: str) -> None:
    """The sound that is left decodes without an error, whole or not."""
    codec, audio, rate = "libx264", "aac", 16000
    if suffix == ".webm":
        codec, audio, rate = "libvpx", "libopus", 48000
    path = make_video(
        tmp_path / f"a{suffix}",
        frames=50,
        codec=codec,
        audio=audio,
        audio_rate=rate,
        container_options={"movflags": "faststart"} if suffix == ".mp4" else {},
    )
    assert len(decode_audio(path)) > 1.9 * rate
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MediaError, match=r"cut short|are missing"):
        decode_audio(path)


@pytest.mark.parametrize(
    ("suffix", "step", "fits"),
    [(".ts", 8, True), (".ts", 12, False), (".mkv", 12, True), (".mkv", 3500, True)],
)
def test_pictures_may_be_held_but_a_stream_that_jumps_is_refused(
    tmp_path: Path, suffix: str, step: int, fits: bool
) -> None:
    ticks = [*range(10), *range(25 * step, 25 * step + 10)]
    path = make_video(tmp_path / f"a{suffix}", pts=ticks, time_base=Fraction(1, 25))
    if fits:
        assert scan(path).seconds[10] == pytest.approx(step, abs=0.1)
    else:
        assert "jump ahead after frame 9" in refusal(path)


@pytest.mark.parametrize(
    ("suffix", "codec", "step", "fits"),
    [
        (".ts", "mp2", 8, True),
        (".ts", "mp2", 12, False),
        (".mkv", "flac", 12, True),
        (".mkv", "flac", 3700, False),
    ],
)
def test_silence_fills_a_gap_that_is_no_broken_clock(
    tmp_path: Path, suffix: str, codec: str, step: int, fits: bool
) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        voice = container.add_stream(codec, rate=16000, layout="mono")
        for begin in (0, step * 16000):
            for at in range(begin, begin + 16000, 1000):
                sound = av.AudioFrame.from_ndarray(
                    np.full((1, 1000), 999, np.int16), format="s16", layout="mono"
                )
                sound.sample_rate, sound.pts, sound.time_base = 16000, at, Fraction(1, 16000)
                container.mux(voice.encode(sound))
        container.mux(voice.encode(None))
    if fits:
        assert len(decode_audio(path)) / 16000 == pytest.approx(step + 1, abs=0.1)
    else:
        with pytest.raises(MediaError, match=f"a gap of {step - 1} seconds"):
            decode_audio(path)


def test_sound_that_no_decoder_opens_is_refused(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.webm", codec="libvpx", audio="libopus", audio_rate=48000, frames=10
    )
    data = bytearray(path.read_bytes())
    data[data.find(b"OpusHead") + 9] = 0  # channels
    path.write_bytes(data)
    assert "sound can't be decoded" in refusal(path)


def test_damage_after_the_scan_is_found_when_reading(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60, size=(320, 240), real_faces=True)
    timeline = scan(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 2000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        list(read_frames(path, timeline, 0, 60))
    assert str(path) in str(caught.value)


def test_huge_pictures_are_refused(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv",
        frames=2,
        size=(16400, 16),
        codec="ffv1",
    )
    assert "larger than the limit" in refusal(path)


@pytest.mark.clips
@pytest.mark.slow
def test_real_clips_are_accepted(clips: Path) -> None:
    files = sorted((clips / "validation").iterdir()) + sorted((clips / "extra").iterdir())
    for path in files:
        assert len(scan(path)) > 1
