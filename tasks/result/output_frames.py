"""Which source frame each output frame shows, and when; and how long the sound is."""

import numpy as np
from numpy.typing import NDArray

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


@stage(OUTPUT_FRAMES, version=2)
def output_frames(timeline: Artifact, waveform: Artifact, *, sync: SyncSettings) -> Made:
    """Lay the source's frames along the output.

    Raises:
        SettingsError: the time range holds no frame, or the speech is shorter than one frame.
    """
    source = load_timeline(timeline)
    tick_seconds = float(source.time_base)
    speech_seconds = float(waveform.attributes["seconds"])
    if source.still:
        count = max(1, round(speech_seconds * STILL_RATE))
        rows = np.zeros(count, np.int64)
        pts = np.rint(np.arange(count) / STILL_RATE / tick_seconds).astype(np.int64)
        end = round(count / STILL_RATE / tick_seconds)
    else:
        rows, pts, end = _cut(source.pts, source.end_pts, tick_seconds, sync)
        rows, pts, end = _fit(rows, pts, end, round(speech_seconds / tick_seconds), sync.mode)
    attributes = {
        "end_pts": int(end),
        "seconds": float(end * tick_seconds),
        "speech_seconds": speech_seconds,
        # Picture and background begin together, at the first frame from --start on.
        "from_seconds": 0.0 if sync.start_seconds is None else float(source.seconds[rows[0]]),
    }
    return Made({"source_frame": rows, "pts": pts}, attributes)


def scene_starts(scene_start: NDArray[np.bool_], source: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cuts of the output: those of the source, and wherever a repeated video starts again."""
    before, after = source[:-1], source[1:]
    # Between neighbours, whichever way they are played, it is the later one that begins a scene.
    starts = scene_start[np.maximum(before, after)] | (np.abs(after - before) > 1)
    return np.append(True, starts)


def _cut(pts: Int, end: int, tick_seconds: float, sync: SyncSettings) -> tuple[Int, Int, int]:
    """Rows, times and end of the chosen part. A part that starts late begins at time 0."""
    rows = np.arange(len(pts))
    if sync.start_seconds is None and sync.end_seconds is None:
        return rows, pts, end
    first = 0 if sync.start_seconds is None else round(sync.start_seconds / tick_seconds)
    last = end if sync.end_seconds is None else min(end, round(sync.end_seconds / tick_seconds))
    rows = rows[(pts >= first) & (pts < last)]
    if not len(rows):
        raise SettingsError(
            f"no frame lies between --start {first * tick_seconds:.3f} s and --end "
            f"{last * tick_seconds:.3f} s; the source lasts {end * tick_seconds:.3f} s"
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
    span = end - start
    durations = np.diff(np.append(pts, end))
    passes = -(-(speech - start) // span)
    all_rows, all_pts = [], []
    for number in range(passes):
        backwards = mode == "bounce" and number % 2 == 1
        lengths = durations[::-1] if backwards else durations
        all_rows.append(rows[::-1] if backwards else rows)
        all_pts.append(start + number * span + np.concatenate([[0], np.cumsum(lengths[:-1])]))
    long_rows, long_pts = np.concatenate(all_rows), np.concatenate(all_pts)
    keep = long_pts < speech
    return long_rows[keep], long_pts[keep], speech
