"""Which frames are shown when lengths differ, on times that are not regular."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from stores.artifacts.source import Source
from stores.errors import SettingsError
from tasks.engine.run import Run
from tasks.result import output_frames as module
from tasks.result.output_frames import (
    Length,
    Showing,
    _cut,
    _fit,
    lay_out,
    output_frames,
    scene_starts,
)
from tasks.result.settings import SyncSettings
from tasks.source.timeline import timeline
from tasks.speech.waveform import waveform
from tests.media_factory import make_video

PTS = np.array([3, 10, 18, 30], np.int64)
END = 40


def fit(speech: int, mode: str) -> tuple[list[int], list[int], int]:
    rows, pts, end = _fit(np.arange(4), PTS, END, speech, mode)
    return rows.tolist(), pts.tolist(), end


def test_silence_keeps_the_video() -> None:
    for speech in (5, 40, 1000):
        assert fit(speech, "silence") == ([0, 1, 2, 3], [3, 10, 18, 30], 40)


def test_cut_off_takes_the_shorter() -> None:
    assert fit(19, "cut_off") == ([0, 1, 2], [3, 10, 18], 19)
    assert fit(500, "cut_off") == ([0, 1, 2, 3], [3, 10, 18, 30], 40)
    with pytest.raises(SettingsError, match="before the first frame"):
        fit(2, "cut_off")


def test_loop_starts_again_with_every_duration_kept() -> None:
    rows, pts, end = fit(80, "loop")
    assert rows == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert np.diff(pts).tolist() == [7, 8, 12, 10, 7, 8, 12, 10]
    assert end == 80


def test_bounce_plays_backwards_with_durations_of_the_frames_shown() -> None:
    rows, pts, _ = fit(80, "bounce")
    assert rows == [0, 1, 2, 3, 3, 2, 1, 0, 0]
    assert np.diff(pts).tolist() == [7, 8, 12, 10, 10, 12, 8, 7]


def test_short_speech_cuts_a_loop() -> None:
    assert fit(19, "loop") == ([0, 1, 2], [3, 10, 18], 19)


def test_a_part_begins_at_time_zero() -> None:
    tick = 0.1
    rows, pts, end = _cut(PTS, END, tick, SyncSettings(start_seconds=0.9, end_seconds=2.5))
    assert (rows.tolist(), pts.tolist(), end) == ([1, 2], [0, 8], 15)
    rows, pts, end = _cut(PTS, END, tick, SyncSettings(end_seconds=1.9))
    assert (rows.tolist(), pts.tolist(), end) == ([0, 1, 2], [3, 10, 18], 19)
    sync = SyncSettings(start_seconds=1.7, end_seconds=2.5)
    rows, pts, end = _cut(PTS[1:] - 10, END - 10, tick, sync, begin=10)
    assert (rows.tolist(), pts.tolist(), end) == ([1], [0], 7)
    with pytest.raises(SettingsError, match="lies behind the end: the source lasts"):
        _cut(PTS, END, tick, SyncSettings(start_seconds=9))


@dataclass(frozen=True)
class Video:
    """Times of a source's frames [ticks]: increasing, irregular, perhaps not from 0 on."""

    pts: NDArray[np.int64]
    end: int

    @property
    def durations(self) -> NDArray[np.int64]:
        return np.diff(np.append(self.pts, self.end))


@some.composite
def videos(draw: some.DrawFn) -> Video:
    first = draw(some.integers(0, 50))
    lengths = draw(some.lists(some.integers(1, 40), min_size=1, max_size=20))
    times = first + np.cumsum([0, *lengths])
    return Video(times[:-1], int(times[-1]))


MODES = some.sampled_from(["silence", "cut_off", "loop", "bounce"])


@given(videos(), some.integers(1, 3000), MODES)
def test_any_output_is_as_long_as_asked_and_keeps_each_frames_duration(
    video: Video, speech: int, mode: str
) -> None:
    count = len(video.pts)
    if mode != "silence" and speech <= video.pts[0]:
        with pytest.raises(SettingsError, match="before the first frame"):
            _fit(np.arange(count), video.pts, video.end, speech, mode)
        return
    rows, pts, end = _fit(np.arange(count), video.pts, video.end, speech, mode)
    asked = {"silence": video.end, "cut_off": min(speech, video.end)}
    assert end == asked.get(mode, speech)
    assert len(rows) == len(pts)
    assert pts[0] == video.pts[0]
    assert ((rows >= 0) & (rows < count)).all()
    shown = np.diff(np.append(pts, end))
    assert (shown > 0).all()
    np.testing.assert_array_equal(shown[:-1], video.durations[rows[:-1]])
    assert shown[-1] <= video.durations[rows[-1]]
    np.testing.assert_array_equal(rows[:count], np.arange(min(count, len(rows))))
    if end >= video.end:
        assert set(rows) == set(range(count)), "no frame is lost"
    repeated = {"loop": np.arange(count), "bounce": np.arange(count)[::-1]}
    if mode in repeated:
        cycle = np.concatenate([np.arange(count), repeated[mode]])
        np.testing.assert_array_equal(rows, np.resize(cycle, len(rows)))
    else:
        assert len(rows) <= count


@given(videos(), some.none() | some.integers(0, 900), some.none() | some.integers(1, 900))
def test_any_part_holds_the_frames_shown_in_it(
    video: Video, start: int | None, stop: int | None
) -> None:
    tick = 1 / 64
    sync = SyncSettings(
        start_seconds=None if start is None else start * tick,
        end_seconds=None if stop is None else stop * tick,
    )
    asked = (0 if start is None else start, video.end if stop is None else stop)
    inside = np.flatnonzero((video.pts >= asked[0]) & (video.pts < asked[1]))
    if not len(inside):
        with pytest.raises(SettingsError, match=r"no frame lies between|lies behind the end"):
            _cut(video.pts, video.end, tick, sync)
        return
    rows, pts, end = _cut(video.pts, video.end, tick, sync)
    np.testing.assert_array_equal(rows, inside)
    np.testing.assert_array_equal(np.diff(pts), np.diff(video.pts[inside]))
    assert pts[0] == (video.pts[rows[0]] if start is None else 0)
    assert end > pts[-1]
    zero = int(video.pts[rows[0]] - pts[0])
    assert end + zero == min(asked[1], int(video.pts[rows[-1]] + video.durations[rows[-1]]))


TICK = Fraction(1, 64)


def laid_out(
    video: Video, speech: int, sync: SyncSettings, *, still: bool = False
) -> tuple[Showing, Length, list[list[int]]]:
    """What is planned, and the arrays that the stage makes of it."""
    source = SimpleNamespace(
        pts=video.pts, end_pts=video.end, time_base=TICK, still=still, part=None
    )
    seconds = float(speech * TICK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_timeline", lambda artifact: artifact)
        showing, length = lay_out(source, seconds, sync)  # type: ignore[arg-type]
        made = output_frames.body(source, showing=showing)
    return showing, length, [made.arrays[name].tolist() for name in ("source_frame", "pts")]


@given(
    videos(),
    some.integers(1, 3000),
    MODES,
    some.none() | some.integers(0, 300),
    some.none() | some.integers(1, 900),
)
def test_what_is_planned_is_what_is_made(
    video: Video, speech: int, mode: Any, start: int | None, stop: int | None
) -> None:
    tick = float(TICK)
    sync = SyncSettings(
        mode=mode,
        start_seconds=None if start is None else start * tick,
        end_seconds=None if stop is None else stop * tick,
    )
    try:
        rows, pts, end = _fit(*_cut(video.pts, video.end, tick, sync), speech, mode)
    except SettingsError:
        with pytest.raises(SettingsError):
            laid_out(video, speech, sync)
        return
    showing, length, made = laid_out(video, speech, sync)
    assert made == [rows.tolist(), pts.tolist()]
    assert (showing.count, length.end_pts) == (len(rows), end)
    # Nothing else is in the key: who asks for these frames in other words asks for the same.
    if showing.repeat == "no":
        shown = laid_out(video, 3000, sync.model_copy(update={"mode": "silence"}))[0]
        assert (shown == showing) == (shown.count == showing.count)


def test_settings_that_show_the_same_frames_are_the_same() -> None:
    video = Video(PTS, END)

    def showing(speech: int, **sync: Any) -> Showing:
        return laid_out(video, speech, SyncSettings(**sync))[0]

    same = showing(500)
    assert showing(35, mode="cut_off") == showing(500, mode="cut_off") == same
    assert showing(35, mode="loop") == showing(40, mode="bounce") == same
    assert showing(3, end_seconds=40 / 64) == showing(3, end_seconds=9.0) == same
    assert showing(30, mode="cut_off") == showing(500, end_seconds=0.4) != same
    others = [showing(30, mode="cut_off"), showing(80, mode="loop"), showing(80, mode="bounce")]
    assert len({*others, showing(500, start_seconds=0.0), same}) == 5


def test_a_still_is_shown_for_as_long_as_the_speech() -> None:
    still = Video(np.array([0], np.int64), 1)
    showing, length, (rows, pts) = laid_out(still, 64, SyncSettings(), still=True)
    assert (showing.count, length.seconds, rows) == (25, 1.0, [0] * 25)
    assert pts == [round(64 * frame / 25) for frame in range(25)]


@given(videos(), some.integers(1, 3000), MODES, some.data())
def test_cuts_of_any_output_are_the_sources_and_the_jumps(
    video: Video, speech: int, mode: str, data: some.DataObject
) -> None:
    count = len(video.pts)
    scene_start = np.array([True, *(data.draw(some.booleans()) for _ in range(count - 1))])
    rows, _, _ = _fit(np.arange(count), video.pts, video.end, speech + int(video.pts[0]), mode)
    starts = scene_starts(scene_start, rows)
    assert starts[0]
    for place, (before, after) in enumerate(pairwise(rows.tolist()), start=1):
        if abs(after - before) > 1:
            assert starts[place], "the video starts again"
        elif after != before:
            assert starts[place] == scene_start[max(before, after)]
        else:
            assert not starts[place], "a bounce turns, or a still goes on"


def test_picture_and_background_begin_together(run: Run, tmp_path: Path) -> None:
    talk = Source.of(make_video(tmp_path / "slow.mp4", frames=12, rate=10, audio="aac"))
    clock, sound = timeline(talk), waveform(talk)
    seconds = float(sound.attributes["seconds"])
    showing, length = lay_out(clock, seconds, SyncSettings(start_seconds=0.25))
    assert output_frames(clock, showing=showing).read("source_frame")[0] == 3
    assert length.from_seconds == pytest.approx(0.3)
    assert lay_out(clock, seconds, SyncSettings())[1].from_seconds == 0
