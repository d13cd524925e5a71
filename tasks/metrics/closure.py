"""Family `closure`: lips that close on /p b m/ of English speech, as pocketsphinx hears it.

There is no telling the language from a comparison: the figures are given where pocketsphinx is sure
of its English words, and refused elsewhere.
"""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import SAMPLE_RATE
from models.metrics.closure import CLOSED, Phone, closures, closures_by_chance, levels
from models.metrics.metric import Metric
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import blank, measured, metric_schema
from tasks.source.timeline import load_timeline

SURE = 0.6
"""Mean posterior of the words from which the speech counts as understood, hence English."""
SURE_WORD = 0.5
"""Posterior from which a word's phones count."""
MIN_PHONES = 3
_PIECE_S = (15.0, 25.0)
"""Speech is heard in pieces of such lengths, cut where it is quietest: effort grows faster."""
_QUIET_S = 0.1
_FRAME_S = 0.01
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

PHONES = Schema(
    "closing_phones",
    {
        "span": ArraySpec(
            ("phone", "end"), "float32", "s", "start and end of each /p b m/", 4096, 65536
        )
    },
    {"end": 2},
    "Where speech needs closed lips; attributes say how sure its words are.",
)

CLOSURE = metric_schema(
    "metrics_closure", ["closure_rate"], "At frames within /p b m/: 100 if the lips close, else 0."
)


@stage(PHONES, version=1)
def closing_phones(waveform: Artifact) -> Made:
    """Recognise English words, and align their phones."""
    pocketsphinx = import_module("pocketsphinx")  # it has no types
    decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    posteriors: list[float] = []
    spans: list[tuple[float, float]] = []
    start, total = 0, waveform.sizes["sample"]
    while start < total:
        samples = waveform.read("sample", start, start + round(_PIECE_S[1] * SAMPLE_RATE))
        length = _cut(samples) if start + len(samples) < total else len(samples)
        heard, found = _heard(decoder, samples[:length])
        posteriors += heard
        spans += [
            (start / SAMPLE_RATE + first, start / SAMPLE_RATE + last) for first, last in found
        ]
        start += length
    facts = {"sure": float(np.mean(posteriors)) if posteriors else 0.0, "words": len(posteriors)}
    return Made({"span": np.array(spans, np.float32).reshape(-1, 2)}, facts)


@stage(CLOSURE, version=1)
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
    spans = [Phone(float(start), float(stop)) for start, stop in phones.read("span")]
    sure = phones.attributes["sure"]
    if sure < SURE:
        reason = f"no clear English: mean posterior of the words {sure:.3f}, less than {SURE:g}"
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


def _heard(
    decoder: Any, samples: NDArray[np.float32]
) -> tuple[list[float], list[tuple[float, float]]]:
    """Posteriors of the words, and start and end [s] of the phones that need closed lips."""
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes()
    decoder.activate_search()  # words, after the last piece's phones
    _listen(decoder, pcm)
    if decoder.hyp() is None:
        return [], []
    words = [(segment.word, float(segment.prob)) for segment in decoder.seg()]
    posteriors = [posterior for word, posterior in words if not word.startswith(("<", "["))]
    if not posteriors:
        return [], []
    decoder.set_alignment()
    _listen(decoder, pcm)
    spans = []
    for entry, (word, posterior) in zip(decoder.get_alignment(), words, strict=False):
        if entry.name != word:
            break  # no path was found for the rest
        spans += [
            (phone.start * _FRAME_S, (phone.start + phone.duration) * _FRAME_S)
            for phone in entry
            if phone.name in _LABIAL and posterior >= SURE_WORD
        ]
    return posteriors, spans


def _listen(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _cut(samples: NDArray[np.float32]) -> int:
    """Where to end a piece: the quietest moment after its shortest length."""
    window, shortest = (round(s * SAMPLE_RATE) for s in (_QUIET_S, _PIECE_S[0]))
    late = samples[shortest : len(samples) // window * window]
    loudness = np.square(late[: len(late) // window * window].reshape(-1, window)).mean(axis=1)
    return int(shortest + window * np.argmin(loudness) + window // 2)


def _measure(comparison: Comparison) -> Artifact:
    result = comparison.result
    return closure(
        result.landmarks,
        result.timeline,
        reference=comparison.reference.landmarks,
        phones=closing_phones(comparison.speech),
    )


FAMILY = Family("closure", "speech", METRICS, _measure, package=("pocketsphinx", "metrics"))
