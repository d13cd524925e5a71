"""Family `articulation`: a mouth that does what sounds of English need, as pocketsphinx hears them.

There is no telling the language from a comparison: the figures are given where pocketsphinx is sure
of its English words, and refused elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from models.metrics.articulation import CLASSES, SoundClass, by_chance, least_within, levels
from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import blank, measured, metric_schema
from tasks.metrics.phones import SURE, SURE_WORD, load_phones, phones, why_not_sure
from tasks.source.timeline import load_timeline

MIN_PHONES = 3
_LEAST_RANGE = 0.01
"""A measure that moves less than this [face heights] has no levels."""

_HOW = (
    "English phones come from pocketsphinx 5 with its own model (large-vocabulary recognition, and "
    f"an alignment of phones after it). Words with a posterior of {SURE_WORD:g} or more count, in "
    f"speech whose words have {SURE:g} or more in the mean (other languages and noise have less) "
    f"and at least {MIN_PHONES} such phones. The measure, in canonical coordinates, is 0 at the "
    "person's low level (2 % of the reference's frames are below) and 1 at the high one (95 %); "
    "the need is met by {limit:g} or less at any frame from 0.04 s before to 0.04 s after the "
    "phone. A clip has few such phones: compare means over clips."
)
_SOURCE = "cmusphinx/pocketsphinx (BSD-2-Clause); own definition"


def _metrics(sounds: SoundClass) -> tuple[Metric, Metric]:
    how = f"Measured is {sounds.how}. {_HOW.format(limit=sounds.limit)}"
    title = f"{sounds.need} on {sounds.listed}"
    return (
        Metric(
            f"{sounds.name}_rate",
            title,
            "higher",
            f"Share of the phones /{sounds.listed}/ of the new speech in which the need is met in "
            f"the result. {how}",
            _SOURCE,
            digits=1,
            unit="%",
        ),
        Metric(
            f"{sounds.name}_gain",
            f"{title}, beyond chance",
            "higher",
            f"{sounds.name}_rate less what the same phones give at nine other times of the clip: a "
            f"mouth that stays as it is gets 0. {how}",
            _SOURCE,
            digits=1,
            unit="percentage points",
        ),
    )


METRICS = tuple(metric for sounds in CLASSES for metric in _metrics(sounds))

ARTICULATION = metric_schema(
    "metrics_articulation",
    [f"{sounds.name}_rate" for sounds in CLASSES],
    "At frames within the sounds of a class: 100 if the mouth does what they need, else 0.",
)


@stage(ARTICULATION, version=1)
def articulation(
    landmarks: Artifact, timeline: Artifact, *, reference: Artifact, phones: Artifact
) -> Made:
    """How often the result's mouth does what the sounds need.

    Args:
        landmarks: Of the result.
        timeline: Of the result.
        reference: Landmarks of the reference: the same person, whose levels count.
        phones: Of the speech that the result shall say.
    """
    clip = load_timeline(timeline)
    heard = list(zip(*load_phones(phones), strict=True))
    curves: dict[str, NDArray[np.float32]] = {}
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for sounds in CLASSES:
        rate, gain = f"{sounds.name}_rate", f"{sounds.name}_gain"
        curve = curves[rate] = blank(len(clip))
        values |= dict.fromkeys((rate, gain))
        relative, reason = between_levels(sounds, landmarks, reference)
        spans = [phone for phone, label in heard if label in sounds.phones]
        reason = why_not_sure(phones) or reason
        if reason is None and spans:
            least = least_within(relative, clip.seconds, spans)
            chance = by_chance(relative, clip.seconds, spans)
            seen = np.isfinite(least)
            if seen.sum() >= MIN_PHONES and np.isfinite(chance).any():
                met = 100 * float((least[seen] <= sounds.limit).mean())
                usual = 100 * float((chance[np.isfinite(chance)] <= sounds.limit).mean())
                values |= {rate: met, gain: met - usual}
                for span, value in zip(spans, least, strict=True):
                    inside = (clip.seconds >= span.start) & (clip.seconds <= span.stop)
                    curve[inside] = 100.0 * (value <= sounds.limit) if value == value else np.nan
        few = f"fewer than {MIN_PHONES} of /{sounds.listed}/ are heard while the face is seen"
        reasons |= dict.fromkeys((rate, gain), reason or few)
    return measured(curves, reasons, **values)


def between_levels(
    sounds: SoundClass, landmarks: Artifact, reference: Artifact
) -> tuple[NDArray[np.float32], str | None]:
    """(frame,) between the person's levels, NaN without a face; and why it can't be told."""
    own, valid = sounds.measure(reference.read("mouth")), reference.read("valid")
    values = sounds.measure(landmarks.read("mouth"))
    values[~landmarks.read("valid")] = np.nan
    if not valid.any() or not np.isfinite(values).any():
        return values, f"no face in the {'result' if valid.any() else 'reference'}"
    low, high = levels(own[valid])
    if high - low < _LEAST_RANGE:
        return values, "the reference's mouth stays as it is: its levels are unknown"
    return np.asarray((values - low) / (high - low), np.float32), None


def _measure(comparison: Comparison) -> Artifact:
    result = comparison.result
    return articulation(
        result.landmarks,
        result.timeline,
        reference=comparison.reference.landmarks,
        phones=phones(comparison.speech),
    )


FAMILY = Family("articulation", "speech", METRICS, _measure, package=("pocketsphinx", "metrics"))
