"""What is encoded and written comes back: the same frames, times, colours and length of sound."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from stores.errors import DubflowError, SettingsError
from stores.media.audio import decode_audio
from stores.media.encode import REORDER_FRAMES, Segment, encode_segment
from stores.media.frame import Frame
from stores.media.mux import CONTAINERS, Sound, _decoding_tick, check_output, mux
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.settings import EncodeSettings, MuxSettings
from stores.media.timeline import Timeline
from tests.media_factory import NTSC, make_video, tone, variable_times

SETTINGS = EncodeSettings()


def segments(
    path: Path, timeline: Timeline, *, length: int = 16, settings: EncodeSettings = SETTINGS
) -> Iterator[Segment]:
    for start in range(0, len(timeline), length):
        stop = min(start + length, len(timeline))
        yield encode_segment(read_frames(path, timeline, start, stop), timeline.video, settings)


def rewrite(
    source: Path,
    target: Path,
    *,
    settings: EncodeSettings = SETTINGS,
    sound: Sound | None = None,
    audio_codec: str = "aac",
    metadata: dict[str, str] | None = None,
) -> tuple[Timeline, Timeline]:
    """Encode all frames of a file into another; gives both timelines."""
    timeline = scan(source)
    mux(
        target,
        segments(source, timeline, settings=settings),
        video=timeline.video,
        pts=timeline.pts,
        end_pts=timeline.end_pts,
        encode=settings,
        settings=MuxSettings.model_validate({"audio_codec": audio_codec}),
        sound=sound,
        metadata=timeline.metadata | (metadata or {}),
    )
    return timeline, scan(target)


def times(timeline: Timeline) -> list[Fraction]:
    return [int(pts) * timeline.time_base for pts in timeline.pts]


def psnr(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-6)))


def assert_same(source: Path, before: Timeline, target: Path, after: Timeline) -> None:
    """Same number of frames, times to a tick of the output, size, colours, and pictures."""
    assert len(after) == len(before)
    tick = after.time_base if target.suffix == ".mkv" else 0
    assert all(abs(a - b) <= tick for a, b in zip(times(before), times(after), strict=True))
    facts = ("width", "height", "frame_format", "color_matrix", "color_primaries", "color_transfer")
    for name in (*facts, "full_range", "sample_aspect_num", "sample_aspect_den", "rotation"):
        expected = 0 if name == "rotation" else getattr(before.video, name)
        assert getattr(after.video, name) == expected, name
    pairs = zip(
        read_frames(source, before, 0, len(before)),
        read_frames(target, after, 0, len(after)),
        strict=True,
    )
    assert min(psnr(old.rgb(640), new.rgb(640)) for old, new in pairs) > 36


SOURCES = {
    "23.976": {"rate": NTSC["23.976"]},
    "29.97": {"rate": NTSC["29.97"]},
    "50": {"rate": 50},
    "59.94": {"rate": NTSC["59.94"]},
    "variable": {"pts": variable_times(40), "time_base": Fraction(1, 1000), "rate": 30},
    "late start": {
        "pts": [701 + time for time in variable_times(40)],
        "time_base": Fraction(1, 1000),
        "rate": 30,
    },
    "rotated": {"rotation": 90},
    "odd size": {"size": (161, 121), "pix_fmt": "yuv444p"},
    "10 bit": {"pix_fmt": "yuv420p10le"},
    "4:2:2": {"pix_fmt": "yuv422p"},
    "full range bt.709": {"full_range": True, "matrix": 1},
    "interlaced": {"field_order": "tff"},
    "interlaced 4:2:2": {"field_order": "bff", "pix_fmt": "yuv422p", "size": (160, 122)},
    "interlaced, a height that H.264 has not": {
        "field_order": "tff",
        "size": (160, 122),
        "codec": "mpeg2video",
        "options": {"b": "8M"},
    },
    "HLG": {"pix_fmt": "yuv420p10le", "tags": (9, 18, 9)},
    "anamorphic": {"aspect": Fraction(4, 3)},
    "4K": {"size": (3840, 2160), "frames": 2, "options": {"preset": "ultrafast"}},
}


@pytest.mark.parametrize("name", SOURCES)
def test_frames_out_are_frames_in(tmp_path: Path, name: str) -> None:
    source = make_video(tmp_path / "a.mp4", **SOURCES[name])  # type: ignore[arg-type]
    target = tmp_path / "b.mp4"
    before, after = rewrite(source, target)
    assert_same(source, before, target, after)
    assert after.end_pts * after.time_base == before.end_pts * before.time_base


def test_hdr_is_written_as_hevc_with_its_light_levels(tmp_path: Path) -> None:
    mastering = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    mastering += "L(10000000,50):max-cll=1000,400"
    source = make_video(
        tmp_path / "a.mp4",
        frames=6,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags=(9, 16, 9),
        options={"x265-params": f"log-level=none:{mastering}"},
    )
    before, after = rewrite(source, tmp_path / "b.mp4")
    for found in (before, after):
        assert (found.video.codec, found.video.mastering) == ("hevc", mastering)
    assert (after.video.color_transfer, after.video.bit_depth) == (16, 10)


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_other_containers_and_codecs(tmp_path: Path, suffix: str, codec: str) -> None:
    source = make_video(
        tmp_path / "a.mkv", frames=20, size=(161, 121), codec="libvpx-vp9", metadata={"title": "T"}
    )
    target = tmp_path / f"b{suffix}"
    settings = EncodeSettings.model_validate({"codec": codec})
    before, after = rewrite(source, target, settings=settings)
    assert_same(source, before, target, after)
    assert after.video.codec == codec
    assert after.metadata.get("title", after.metadata.get("TITLE")) == "T"


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "aac"),
        (".mp4", "flac"),
        (".mp4", "alac"),
        (".mov", "pcm"),
        (".mkv", "aac"),
        (".mkv", "flac"),
    ],
)
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
def test_sound_is_as_long_as_it_was_to_a_sample(
    tmp_path: Path, suffix: str, codec: str, rate: int, channels: int
) -> None:
    source = make_video(tmp_path / "a.mp4", frames=20)
    target = tmp_path / f"b{suffix}"
    wave = tone(rate * 3 // 4 + 123, rate=rate, channels=channels)
    sound = Sound([wave[:5000], wave[5000:]], rate, "mono" if channels == 1 else "stereo")
    before, after = rewrite(source, target, sound=sound, audio_codec=codec)
    assert_same(source, before, target, after)
    heard = decode_audio(target)
    assert heard.shape == wave.shape
    noise = float(np.sqrt(np.mean((heard - wave) ** 2)))
    assert noise < (0.02 if codec == "aac" else 1e-6)
    with av.open(str(target)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.sample_rate == rate
        if suffix != ".mkv":
            assert stream.time_base is not None and stream.duration is not None
            assert stream.duration * stream.time_base == Fraction(len(wave), rate)


def test_sound_may_outlast_the_pictures(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=10)
    wave = tone(32000)
    _, after = rewrite(source, tmp_path / "b.mp4", sound=Sound([wave], 16000, "mono"))
    assert len(after) == 10 and len(decode_audio(tmp_path / "b.mp4")) == 32000


def test_a_segment_decodes_alone(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=40)
    timeline = scan(source)
    second = list(segments(source, timeline, length=20))[1]
    mux(
        tmp_path / "b.mp4",
        [second],
        video=timeline.video,
        pts=timeline.pts[20:],
        end_pts=timeline.end_pts,
        encode=SETTINGS,
    )
    after = scan(tmp_path / "b.mp4")
    assert times(after) == [time - times(timeline)[20] for time in times(timeline)[20:]]
    for old, new in zip(
        read_frames(source, timeline, 20, 40),
        read_frames(tmp_path / "b.mp4", after, 0, 20),
        strict=True,
    ):
        assert psnr(old.rgb(), new.rgb()) > 36


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=30, size=(320, 240), real_faces=True)
    timeline = scan(source)
    one, two = (next(segments(source, timeline, length=30)) for _ in range(2))
    np.testing.assert_array_equal(one.payload, two.payload)
    assert one.extradata == two.extradata


def test_every_segment_starts_anew(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=40)
    rewrite(source, tmp_path / "b.mp4")
    after = scan(tmp_path / "b.mp4")
    assert after.keyframe[[0, 16, 32]].all()


def test_frames_can_be_shown_at_other_times_and_twice(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=16)
    timeline = scan(source)
    segment = next(segments(source, timeline))
    step = int(timeline.pts[1])
    mux(
        tmp_path / "b.mp4",
        [segment, segment],
        video=timeline.video,
        pts=np.arange(32, dtype=np.int64) * step,
        end_pts=32 * step,
        encode=SETTINGS,
    )
    after = scan(tmp_path / "b.mp4")
    assert times(after) == [Fraction(i, 25) for i in range(32)]


@pytest.mark.parametrize(
    ("name", "audio_codec", "rate", "message"),
    [
        ("b.avi", "aac", 16000, r"can't write \.avi; name the output \.m4v, \.mkv"),
        ("b", "aac", 16000, "a file without suffix"),
        ("b.mp4", "pcm", 16000, "can't hold pcm sound; choose aac, flac, alac"),
        ("b.mp4", "aac", 37800, "37800 Hz; choose flac"),
        ("none/b.mp4", "aac", 16000, "folder does not exist"),
    ],
)
def test_impossible_outputs_are_refused_early(
    tmp_path: Path, name: str, audio_codec: str, rate: int, message: str
) -> None:
    settings = MuxSettings.model_validate({"audio_codec": audio_codec})
    with pytest.raises(SettingsError, match=message):
        check_output(tmp_path / name, settings, rate=rate)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        EncodeSettings.model_validate({"qp": 3})
    with pytest.raises(ValidationError):
        EncodeSettings.model_validate({"crf": 99})


def test_a_failing_write_leaves_what_was_there(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", frames=20)
    target = tmp_path / "b.mp4"
    target.write_bytes(b"the earlier result")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # stands in for a full disk
        try:
            rewrite(source, target)
        except DubflowError as error:
            os._exit(0 if str(target) in str(error) and "\n" not in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert target.read_bytes() == b"the earlier result"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@some.composite
def shown_times(draw: some.DrawFn, *, least: int = 1, most: int) -> tuple[list[int], int]:
    """Ticks at which frames are shown, from 0 on as in every output, and the last one's end."""
    lengths = draw(some.lists(some.integers(1, 60), min_size=least, max_size=most))
    times = list(accumulate(lengths, initial=0))
    return times[:-1], times[-1]


def reordered(data: some.DataObject, count: int) -> list[int]:
    """Any order in which a segment's packets may be decoded: no frame over two places early."""
    waiting, order = list(range(count)), []
    while waiting:
        late = [frame for frame in waiting if len(order) - frame >= REORDER_FRAMES]
        order.append(late[0] if late else data.draw(some.sampled_from(waiting[:4])))
        waiting.remove(order[-1])
    return order


@given(some.lists(some.integers(1, 9), min_size=1, max_size=5), shown_times(most=45), some.data())
def test_no_packet_of_any_order_is_shown_before_it_is_decoded(
    lengths: list[int], times: tuple[list[int], int], data: some.DataObject
) -> None:
    pts = np.array(times[0], np.int64)
    decoded, shown, base = [], [], 0
    for length in lengths:
        length = min(length, len(pts) - base)
        if not length:
            break
        order = np.array(reordered(data, length))
        keyframe = np.arange(length) == 0
        Segment(np.zeros(length, np.uint8), np.ones(length, int), order, keyframe, b"", "h264")
        decoded += [_decoding_tick(pts, base + place) for place in range(length)]
        shown += [int(pts[base + place]) for place in order]
        base += length
    assert (np.diff(decoded) > 0).all()
    assert all(dts <= at for dts, at in zip(decoded, shown, strict=True))


@given(some.permutations(range(7)))
def test_a_segment_takes_only_orders_that_can_be_decoded_in_time(order: list[int]) -> None:
    late = max(place - frame for place, frame in enumerate(order))
    size, keyframe = np.ones(7, int), np.arange(7) == 0
    with pytest.raises(ValueError, match="at most 2") if late > REORDER_FRAMES else nullcontext():
        Segment(np.zeros(7, np.uint8), size, np.array(order), keyframe, b"", "h264")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Timeline, list[Frame]]:
    """Frames that differ, and the facts of their stream."""
    path = make_video(tmp_path_factory.mktemp("numbered") / "a.mp4", frames=24, size=(64, 48))
    timeline = scan(path)
    return timeline, list(read_frames(path, timeline, 0, 24))


@settings(max_examples=20)
@given(
    times=shown_times(least=2, most=24),
    length=some.integers(1, 9),
    container=some.sampled_from(sorted(CONTAINERS)),
)
def test_any_times_and_segments_come_back_from_any_container(
    numbered: tuple[Timeline, list[Frame]],
    tmp_path_factory: pytest.TempPathFactory,
    times: tuple[list[int], int],
    length: int,
    container: str,
) -> None:
    timeline, frames = numbered
    # Matroska keeps whole milliseconds, so the clock counts those.
    video = replace(timeline.video, time_base_num=1, time_base_den=1000)
    pts, end = times
    parts = [frames[start : start + length] for start in range(0, len(pts), length)]
    parts[-1] = parts[-1][: len(pts) - length * (len(parts) - 1)]
    target = tmp_path_factory.getbasetemp() / f"any_times{container}"
    mux(
        target,
        (encode_segment(part, video, SETTINGS) for part in parts),
        video=video,
        pts=np.array(pts, np.int64),
        end_pts=end,
        encode=SETTINGS,
    )
    with av.open(str(target)) as opened:
        packets = [p for p in opened.demux(video=0) if p.size]
        tick = opened.streams.video[0].time_base
        ours = sorted(round(p.pts * tick * 1000) for p in packets)
        decoded = [p.dts for p in packets if p.dts is not None]
        assert all(p.dts <= p.pts for p in packets if p.dts is not None)
        if container in (".mp4", ".m4v", ".mov"):
            assert opened.streams.video[0].duration * tick * 1000 == end
    assert ours == pts
    assert sorted(set(decoded)) == decoded
    made = scan(target)
    assert np.rint(made.seconds * 1000).astype(int).tolist() == pts
    for place, frame in enumerate(read_frames(target, made, 0, len(pts))):
        off = [np.abs(frame.rgb().astype(int) - other.rgb()).mean() for other in frames]
        assert int(np.argmin(off)) == place
