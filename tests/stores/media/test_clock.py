"""Time 0 is what a player shows first, wherever the file's own clock begins."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stores.media.audio import audio_blocks, decode_audio
from stores.media.clock import clock_zero
from stores.media.read import read_frames
from stores.media.scanning import scan
from tests.media_factory import make_audio, make_video

FRAMES = 50
SUFFIXES = {".ts": {}, ".flv": {}, ".mkv": {}, ".mpg": {"codec": "mpeg2video", "audio": "mp2"}}
WRAP = 2**33 / 90000
"""Seconds at which the clock of a transport stream begins anew."""


def talk(path: Path, *, start: float = 0.0, **changes: object) -> Path:
    """Two seconds of moving picture and a tone, on a clock that begins at `start`."""
    given = {"codec": "libx264", "audio": "aac", "audio_rate": 48000} | changes
    options = {"output_ts_offset": str(start)} if start else {}
    return make_video(path, frames=FRAMES, container_options=options, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("start", [1.4, 3725.2, WRAP - 0.318, WRAP - 1.2])
def test_a_clock_may_begin_anywhere(suffix: str, start: float, tmp_path: Path) -> None:
    if start > WRAP - 2 and suffix not in (".ts", ".mpg"):
        pytest.skip("only these clocks begin anew")
    plain = talk(tmp_path / f"plain{suffix}", **SUFFIXES[suffix])
    later = talk(tmp_path / f"later{suffix}", start=start, **SUFFIXES[suffix])
    before, after = scan(plain), scan(later)
    tick = float(after.time_base)
    assert len(after) == len(before) == FRAMES
    np.testing.assert_allclose(after.seconds, before.seconds, atol=1.1 * tick)
    assert abs(after.duration_seconds - before.duration_seconds) <= 1.1 * tick
    assert 0 <= after.seconds[0] < 0.05
    sounds = [decode_audio(path, rate=48000, mono=True)[:, 0] for path in (plain, later)]
    assert abs(len(sounds[0]) - len(sounds[1])) <= 48000 * 0.001
    assert abs(onset(sounds[0]) - onset(sounds[1])) <= 0.0011
    whole = [frame.rgb() for frame in read_frames(later, after, 0, FRAMES)]
    for row, frame in enumerate(read_frames(later, after, 31, 40)):
        np.testing.assert_array_equal(frame.rgb(), whole[31 + row])


def onset(samples: np.ndarray) -> float:
    """Seconds until something is heard."""
    return float(np.flatnonzero(np.abs(samples) > 0.02)[0]) / 48000


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_picture_that_is_late_within_its_file_stays_late(suffix: str, tmp_path: Path) -> None:
    late = Fraction(7, 25)
    pts = [index + 7 for index in range(FRAMES)]
    path = talk(tmp_path / f"late{suffix}", pts=pts, time_base=Fraction(1, 25))
    assert abs(scan(path).start_seconds - float(late)) < 0.03


def test_a_range_is_counted_from_what_is_played_first(tmp_path: Path) -> None:
    path = talk(tmp_path / "a.ts", start=500.0)
    whole = decode_audio(path, rate=16000, mono=True)
    part = np.concatenate(list(audio_blocks(path, rate=16000, mono=True, start=0.5, stop=1.0)))
    np.testing.assert_array_equal(part, whole[8000:16000])


def test_what_an_encoder_needs_to_get_going_is_not_played(tmp_path: Path) -> None:
    sound = make_audio(tmp_path / "a.mp3", codec="libmp3lame")
    with av.open(str(sound)) as container:
        assert clock_zero(sound) == container.streams.audio[0].start_time * Fraction(
            container.streams.audio[0].time_base
        )
    assert onset(decode_audio(sound, rate=48000, mono=True)[:, 0]) < 0.002


@pytest.mark.parametrize("rate", [25, 30, 50, 60])
def test_sound_of_fragments_keeps_step_with_pictures_that_are_reordered(
    rate: int, tmp_path: Path
) -> None:
    """Without an edit list, pictures and sound both begin later by what reordering needs."""
    given = {"rate": Fraction(rate), "options": {"bf": "2"}}
    fragments = {"movflags": "frag_keyframe+empty_moov", "use_editlist": "0"}
    plain = make_video(tmp_path / "a.mp4", audio="aac", audio_rate=48000, **given)
    path = tmp_path / "b.mp4"
    make_video(path, audio="aac", audio_rate=48000, container_options=fragments, **given)
    late = scan(path).start_seconds - scan(plain).start_seconds
    sounds = [decode_audio(each, rate=48000, mono=True)[:, 0] for each in (plain, path)]
    assert late > 0.02
    assert onset(sounds[1]) - onset(sounds[0]) == pytest.approx(late, abs=0.0005)
