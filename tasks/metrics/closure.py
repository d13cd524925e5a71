"""Family `closure`: lips that close on /p b m/ of English speech, as pocketsphinx hears it.

There is no telling the language from a comparison: the figures are given where pocketsphinx is sure
of its English words, and refused elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from models.metrics.closure import CLOSED, closures, closures_by_chance, levels
from models.metrics.metric import Metric
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import blank, measured, metric_schema
from tasks.metrics.phones import SURE, SURE_WORD, load_phones, phones, why_not_sure
from tasks.source.timeline import load_timeline

MIN_PHONES = 3
_LABIAL = frozenset({"P", "B", "M"})

_HOW = (
    "English phones come from pocketsphinx 5 with its own model (large-vocabulary recognition, and "
    f"an alignment of phones after it). Words with a posterior of {SURE_WORD:g} or more count, in "
    f"speech whose words have {SURE:g} or more in the mean (other languages and noise have less) "
    f"and at least {MIN_PHONES} such phones. The opening is the distance of the middle inner lip "
    "points in canonical coordinates, 0 at the person's closed level (2 % of the reference's "
    f"frames are below) and 1 at the open one (95 %); closed is {CLOSED:g} or less at any frame "
    "from 0.04 s before to 0.04 s after the phone. A clip has few such phones: compare means over "
    "clips."
)
_SOURCE = "cmusphinx/pocketsphinx (BSD-2-Clause); own definition"

METRICS = (
    Metric(
        "closure_rate",
        "Lips closed on p, b, m",
        "higher",
        f"Share of the phones /p b m/ of the new speech on which the result's lips close. {_HOW}",
        _SOURCE,
        digits=1,
        unit="%",
    ),
    Metric(
        "closure_gain",
        "Lips closed on p, b, m, beyond chance",
        "higher",
        "closure_rate less what the same phones give at nine other times of the clip: a mouth that "
        f"stays closed gets 0. {_HOW}",
        _SOURCE,
        digits=1,
        unit="percentage points",
    ),
)

CLOSURE = metric_schema(
    "metrics_closure", ["closure_rate"], "At frames within /p b m/: 100 if the lips close, else 0."
)


@stage(CLOSURE, version=2)
def closure(
    landmarks: Artifact, timeline: Artifact, *, reference: Artifact, phones: Artifact
) -> Made:
    """How often the result's lips close where they must.

    Args:
        landmarks: Of the result.
        timeline: Of the result.
        reference: Landmarks of the reference: the same person, whose levels count.
        phones: Of the speech that the result shall say.
    """
    clip = load_timeline(timeline)
    curve = blank(len(clip))
    relative, reason = _relative_opening(landmarks, reference)
    spans = [phone for phone, label in zip(*load_phones(phones), strict=True) if label in _LABIAL]
    reason = why_not_sure(phones) or reason
    rate = gain = None
    if reason is None and len(spans):
        least = closures(relative, clip.seconds, spans)
        chance = closures_by_chance(relative, clip.seconds, spans)
        heard = np.isfinite(least)
        if heard.sum() >= MIN_PHONES and np.isfinite(chance).any():
            rate = 100 * float((least[heard] <= CLOSED).mean())
            gain = rate - 100 * float((chance[np.isfinite(chance)] <= CLOSED).mean())
            for span, value in zip(spans, least, strict=True):
                inside = (clip.seconds >= span.start) & (clip.seconds <= span.stop)
                curve[inside] = 100.0 * (value <= CLOSED) if np.isfinite(value) else np.nan
    few = f"fewer than {MIN_PHONES} of /p b m/ are heard while the face is seen"
    reasons = dict.fromkeys(("closure_rate", "closure_gain"), reason or few)
    return measured({"closure_rate": curve}, reasons, closure_rate=rate, closure_gain=gain)


def _relative_opening(
    landmarks: Artifact, reference: Artifact
) -> tuple[NDArray[np.float32], str | None]:
    """(frame,) between the person's levels, NaN without a face; and why it can't be told."""
    own, valid = opening(reference.read("mouth")), reference.read("valid")
    gap = opening(landmarks.read("mouth"))
    gap[~landmarks.read("valid")] = np.nan
    if not valid.any() or not np.isfinite(gap).any():
        return gap, f"no face in the {'result' if valid.any() else 'reference'}"
    closed, wide = levels(own[valid])
    if wide - closed < 0.01:
        return gap, "the reference's mouth stays as it is: its open level is unknown"
    return np.asarray((gap - closed) / (wide - closed), np.float32), None


def _measure(comparison: Comparison) -> Artifact:
    result = comparison.result
    return closure(
        result.landmarks,
        result.timeline,
        reference=comparison.reference.landmarks,
        phones=phones(comparison.speech),
    )


FAMILY = Family("closure", "speech", METRICS, _measure, package=("pocketsphinx", "metrics"))
