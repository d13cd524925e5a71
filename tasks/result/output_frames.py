"""Which source frame each output frame shows, and when; and how long the output is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from stores.errors import SettingsError
from tasks.engine.stage import Made, stage
from tasks.result.settings import SyncSettings
from tasks.source.timeline import load_timeline

Int = NDArray[np.int64]

STILL_RATE = 25
"""Frames per second of a dubbed still picture."""

OUTPUT_FRAMES = Schema(
    "output_frames",
    {
        "source_frame": series("row of the timeline", dtype="int64"),
        "pts": series("presentation time", "time_base ticks", "int64"),
    },
    {},
    "The output's frames in presentation order.",
)


class Showing(BaseModel):
    """Which frames the output shows, whatever the settings and the speech that led to it.

    What two dubs have alike here is found in the store: a key holds what changes the result.

    Attributes:
        first: Row of the source's first frame that is shown.
        frames: How many are shown, one after the other, before any is repeated.
        count: Frames of the output.
        zero: Presentation time of the source that is time 0 of the output [ticks].
        repeat: How the frames are repeated, or `no`.
        end: Where the last frame ends before they are repeated [ticks of the output]; else 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: int = 0
    frames: int = 1
    count: int = 1
    zero: int = 0
    repeat: Literal["no", "loop", "bounce"] = "no"
    end: int = 0


@dataclass(frozen=True)
class Length:
    """How long the output is.

    Attributes:
        end_pts: Where its last frame and its sound end [ticks].
        seconds: The same [s].
        speech_seconds: Length of the speech given [s].
        from_seconds: Time of the source that the output begins at [s].
    """

    end_pts: int
    seconds: float
    speech_seconds: float
    from_seconds: float


def lay_out(
    timeline: Artifact, speech_seconds: float, sync: SyncSettings
) -> tuple[Showing, Length]:
    """What the output shows, and how long.

    Args:
        timeline: Of the source.
        speech_seconds: Length of the speech [s].
        sync: What the user wants.

    Raises:
        SettingsError: the time range holds no frame, or the speech is shorter than one frame.
    """
    source = load_timeline(timeline)
    tick_seconds = float(source.time_base)
    begin = source.part.begin if source.part else 0
    if source.still:
        count = max(1, round(speech_seconds * STILL_RATE))
        showing, end = Showing(count=count), round(count / STILL_RATE / tick_seconds)
    else:
        part, part_pts, part_end = _cut(source.pts, source.end_pts, tick_seconds, sync, begin)
        speech = round(speech_seconds / tick_seconds)
        rows, _, end = _fit(part, part_pts, part_end, speech, sync.mode)
        first, zero = int(part[0]), int(source.pts[part[0]] - part_pts[0])
        if len(rows) <= len(part):
            showing = Showing(first=first, frames=len(rows), count=len(rows), zero=zero)
        else:
            assert sync.mode in ("loop", "bounce")
            showing = Showing(
                first=first,
                frames=len(part),
                count=len(rows),
                zero=zero,
                repeat=sync.mode,
                end=part_end,
            )
    # Picture and background begin together, at the first frame from --start on.
    shown_from = 0.0
    if sync.start_seconds is not None or begin:
        shown_from = (showing.zero + begin) * tick_seconds
    return showing, Length(end, float(end * tick_seconds), speech_seconds, shown_from)


@stage(OUTPUT_FRAMES, version=2)
def output_frames(timeline: Artifact, *, showing: Showing) -> Made:
    """Lay the source's frames along the output, as `lay_out` says."""
    source = load_timeline(timeline)
    if source.still:
        rows = np.zeros(showing.count, np.int64)
        ticks_per_frame = 1 / STILL_RATE / float(source.time_base)
        pts = np.rint(np.arange(showing.count) * ticks_per_frame).astype(np.int64)
        return Made({"source_frame": rows, "pts": pts - showing.zero})
    rows = np.arange(showing.first, showing.first + showing.frames)
    pts = source.pts[rows] - showing.zero
    if showing.repeat != "no":
        passes = -(-showing.count // showing.frames)
        rows, pts = _repeated(rows, pts, showing.end, passes, showing.repeat)
    return Made({"source_frame": rows[: showing.count], "pts": pts[: showing.count]})


def scene_starts(scene_start: NDArray[np.bool_], source: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cuts of the output: those of the source, and wherever a repeated video starts again."""
    before, after = source[:-1], source[1:]
    # Between neighbours, whichever way they are played, it is the later one that begins a scene;
    # a frame that is shown again begins none.
    starts = scene_start[np.maximum(before, after)] & (after != before)
    starts |= np.abs(after - before) > 1
    return np.append(True, starts)


def _cut(
    pts: Int, end: int, tick_seconds: float, sync: SyncSettings, begin: int = 0
) -> tuple[Int, Int, int]:
    """Rows, times and end of the chosen part. A part that starts late begins at time 0.

    Args:
        begin: Time of the file that is time 0 of `pts` [ticks].
    """
    rows = np.arange(len(pts))
    if sync.start_seconds is None and sync.end_seconds is None:
        return rows, pts, end
    first, last = 0, end
    if sync.start_seconds is not None:
        first = round(sync.start_seconds / tick_seconds) - begin
    if sync.end_seconds is not None:
        last = min(end, round(sync.end_seconds / tick_seconds) - begin)
    rows = rows[(pts >= first) & (pts < last)]
    if first >= end:
        raise SettingsError(
            f"--start {(begin + first) * tick_seconds:.3f} s lies behind the end: the source "
            f"lasts {(begin + end) * tick_seconds:.3f} s"
        )
    if not len(rows):
        raise SettingsError(
            f"no frame lies between --start {(begin + first) * tick_seconds:.3f} s and --end "
            f"{(begin + last) * tick_seconds:.3f} s; the source lasts "
            f"{(begin + end) * tick_seconds:.3f} s"
        )
    stop = int(pts[rows[-1] + 1]) if rows[-1] + 1 < len(pts) else end
    zero = int(pts[rows[0]]) if sync.start_seconds is not None else 0
    return rows, pts[rows] - zero, min(stop, last) - zero


def _fit(rows: Int, pts: Int, end: int, speech: int, mode: str) -> tuple[Int, Int, int]:
    """Make the part as long as `mode` says; all times in ticks."""
    if mode == "silence":
        return rows, pts, end
    if mode == "cut_off" or speech <= end:
        keep = pts < min(speech, end)
        if not keep.any():
            raise SettingsError(
                "the speech ends before the first frame is shown; use --sync-mode silence"
            )
        return rows[keep], pts[keep], min(speech, end)
    start = int(pts[0])
    passes = -(-(speech - start) // (end - start))
    long_rows, long_pts = _repeated(rows, pts, end, passes, mode)
    keep = long_pts < speech
    return long_rows[keep], long_pts[keep], speech


def _repeated(rows: Int, pts: Int, end: int, passes: int, mode: str) -> tuple[Int, Int]:
    """Rows and times of so many passes, each frame as long as in the first one."""
    start = int(pts[0])
    durations = np.diff(np.append(pts, end))
    all_rows, all_pts = [], []
    for number in range(passes):
        backwards = mode == "bounce" and number % 2 == 1
        lengths = durations[::-1] if backwards else durations
        all_rows.append(rows[::-1] if backwards else rows)
        begin = start + number * (end - start)
        all_pts.append(begin + np.concatenate([[0], np.cumsum(lengths[:-1])]))
    return np.concatenate(all_rows), np.concatenate(all_pts)
