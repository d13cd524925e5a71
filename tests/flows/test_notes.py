"""Small words of reports: counts, and what is advised about a speech that is too long."""

from dataclasses import replace

import pytest

from flows.dub_notes import length_notes
from flows.quantities import counted
from tasks.result.output_frames import Length
from tasks.result.settings import SyncSettings


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")]
)
def test_one_is_not_many(count: int, told: str) -> None:
    assert counted(count, "row") == told


def length(seconds: float) -> Length:
    return Length(end_pts=0, seconds=seconds, speech_seconds=8.0, from_seconds=0.0)


@pytest.mark.parametrize(
    ("seconds", "sync", "advice"),
    [
        (6.0, SyncSettings(), "; --sync-mode loop or bounce repeats the picture"),
        (3.0, SyncSettings(end_seconds=3), "; a later --end than 3 shows more of the picture"),
        (2.0, SyncSettings(start_seconds=1, end_seconds=3), "; a later --end than 3 "),
        # The file ends before what was asked for.
        (6.0, SyncSettings(end_seconds=20), "; --sync-mode loop or bounce "),
    ],
)
def test_speech_that_is_cut(seconds: float, sync: SyncSettings, advice: str) -> None:
    (note,) = length_notes(length(seconds), sync)
    assert f"the last {8 - seconds:.2f} s of the speech were cut" in note
    assert advice in note


def test_speech_that_fits_is_not_noted() -> None:
    assert length_notes(length(8.0), SyncSettings()) == []


def test_a_start_within_a_held_picture_is_noted() -> None:
    asked, next_frame = SyncSettings(start_seconds=2.6), length(8.0)
    (note,) = length_notes(replace(next_frame, from_seconds=3.85), asked)
    assert "begins with the next one, at 3.85 s" in note
    assert length_notes(replace(next_frame, from_seconds=2.64), asked) == []
