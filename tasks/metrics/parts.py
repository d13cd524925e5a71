"""The usable parts of a clip, each with its scores; thresholds are for whoever reads them."""

import numpy as np
from numpy.typing import NDArray

from models.faces.smooth import valid_runs
from models.quality.parts import mean_or_nan, windows_between
from models.quality.picture import TURNED_DEGREES
from models.quality.sound import LOUD_QUANTILE, WINDOW_SECONDS
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from tasks.engine.stage import Made, stage
from tasks.metrics.agreement import motions
from tasks.source.quality import QUALITY, Floats
from tasks.source.timeline import load_timeline
from tasks.speech.sound_levels import SOUND_LEVELS

SHORTEST_FRAMES = 5
"""Shorter parts are left out: no network learns from less."""


SCORES = {
    "face_px": ("median height of the face", "px"),
    "sharpness": ("median detail of the mouth region, at one size for all faces", ""),
    "turned_share": ("frames whose head is turned by more than 45 degrees", ""),
    "visible_share": ("frames that show a free mouth", ""),
    "speech_share": ("time in which the sound is loud enough to be speech", ""),
    "level_db": ("loudness of the loud parts", "dB of full scale"),
    "clipped_share": ("samples at the end of their scale", ""),
    "agreement": ("correlation of seen and expected motion of the mouth, -1..1", ""),
    "lag_seconds": ("how much later the picture is than the sound", "s"),
    "lag_confidence": ("chance that the lag is right, 0..1", ""),
    "sync_confidence": ("SyncNet's confidence (LSE-C)", ""),
    "sync_distance": ("SyncNet's distance (LSE-D)", ""),
}
"""Scores of a part: what each means, and its unit. NaN where it can't be told."""


PARTS = Schema(
    "parts",
    {
        "start": series("first frame", dtype="int64", dim="part"),
        "stop": series("frame after the last", dtype="int64", dim="part"),
        "start_seconds": series("time of the first frame", "s", "float64", dim="part"),
        "seconds": series("to the end of the last frame", "s", "float64", dim="part"),
        **{name: series(doc, unit, dim="part") for name, (doc, unit) in SCORES.items()},
    },
    {},
    "Parts of a clip that show one scene and one face throughout, with their scores.",
)


@stage(PARTS, version=1)
def parts(
    timeline: Artifact,
    landmarks: Artifact,
    *,
    quality: Artifact,
    levels: Artifact,
    mel: Artifact,
    synchrony: Artifact | None,
    model: str,
) -> Made:
    """Cut the clip at scene cuts and wherever the face is not seen, and score each part.

    Args:
        synchrony: SyncNet's figures (`tasks.metrics.lse`); None without its weights.
        model: `tasks.speech.lips_model.listener_key()`, so that scores follow the weights.
    """
    clip = load_timeline(timeline)
    valid = landmarks.read("valid")
    runs = valid_runs(valid, clip.scene_start)
    long = [(start, stop) for start, stop in runs if stop - start >= SHORTEST_FRAMES]
    ranges = np.array(long, np.int64).reshape(-1, 2)
    begins = clip.seconds
    ends = np.append(begins[1:], float(clip.end_pts * clip.time_base))
    scores = {name: np.full(len(ranges), np.nan, np.float32) for name in SCORES}
    of_picture = {name: quality.read(name) for name in QUALITY.arrays}
    of_sound = {name: levels.read(name) for name in SOUND_LEVELS.arrays}
    of_lips = _Motions(landmarks, begins, mel) if len(ranges) else None
    of_syncnet = None if synchrony is None else (synchrony.read("lse_c"), synchrony.read("lse_d"))
    for number, (start, stop) in enumerate(ranges):
        found = _picture_scores({n: a[start:stop] for n, a in of_picture.items()})
        found |= _sound_scores(of_sound, begins[start], ends[stop - 1])
        assert of_lips is not None
        found |= of_lips.scores(start, stop)
        if of_syncnet is not None:
            names = ("sync_confidence", "sync_distance")
            curves = (curve[start:stop] for curve in of_syncnet)
            found |= {name: mean_or_nan(c) for name, c in zip(names, curves, strict=True)}
        for name, value in found.items():
            scores[name][number] = value
    return Made(
        {
            "start": ranges[:, 0],
            "stop": ranges[:, 1],
            "start_seconds": begins[ranges[:, 0]],
            "seconds": ends[ranges[:, 1] - 1] - begins[ranges[:, 0]],
            **scores,
        }
    )


def _picture_scores(frames: dict[str, Floats]) -> dict[str, float]:
    return {
        "face_px": float(np.median(frames["face_px"])),
        "sharpness": float(np.median(frames["sharpness"])),
        "turned_share": float((frames["turn"] > TURNED_DEGREES).mean()),
        "visible_share": float(frames["visible"].mean()),
    }


def _sound_scores(windows: dict[str, Floats], first: float, last: float) -> dict[str, float]:
    """Where the sound ends before the picture, what is missing is silence."""
    inside = windows_between(first, last, WINDOW_SECONDS, len(windows["level"]))
    count = max(1, round((last - first) / WINDOW_SECONDS))
    if inside.start >= inside.stop:
        return {"speech_share": 0.0, "clipped_share": 0.0, "level_db": -120.0}
    return {
        "speech_share": float(min(1.0, windows["speech"][inside].sum() / count)),
        "clipped_share": float(windows["clipped"][inside].mean()),
        "level_db": float(np.quantile(windows["level"][inside], LOUD_QUANTILE)),
    }


class _Motions:
    """The mouth's motion as seen and as the speech asks for it, 25 times a second."""

    def __init__(self, landmarks: Artifact, seconds: NDArray[np.float64], mel: Artifact) -> None:
        valid = landmarks.read("valid")
        self._seconds = seconds
        self._expected, self._seen_motion, self._seen = motions(
            landmarks.read("mouth")[valid], seconds[valid], mel
        )

    def scores(self, start: int, stop: int) -> dict[str, float]:
        """Agreement of the frames [start, stop); nothing where they are too few."""
        from models.metrics.agreement import TICKS_PER_SECOND, agree

        first, last = self._seconds[[start, stop - 1]] * TICKS_PER_SECOND
        ticks = slice(int(np.ceil(first - 1e-6)), int(np.floor(last + 1e-6)) + 1)
        try:
            found = agree(self._expected[ticks], self._seen_motion[ticks], seen=self._seen[ticks])
        except ValueError:
            return {}
        return {
            "agreement": found.correlation,
            "lag_seconds": found.lag_seconds,
            "lag_confidence": found.confidence,
        }
