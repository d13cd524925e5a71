"""The sounds of English speech and when they are said, as pocketsphinx hears them."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import SAMPLE_RATE
from models.metrics.articulation import Phone
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema, series
from tasks.engine.stage import Made, stage

PACKAGE = "pocketsphinx"

SURE = 0.6
"""Mean posterior of the words from which the speech counts as understood, hence English."""
SURE_WORD = 0.5
"""Posterior from which a word's phones count."""
_PIECE_S = (15.0, 25.0)
"""Speech is heard in pieces of such lengths, cut where it is quietest: effort grows faster."""
_QUIET_S = 0.1
_FRAME_S = 0.01

ARPABET = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY"),
    *("F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY"),
    *("P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""Names of the sounds: CMU's dictionary, without stress."""

_Phone = tuple[float, float, str]

PHONES = Schema(
    "phones",
    {
        "span": ArraySpec(("phone", "end"), "float32", "s", "start and end of each", 4096, 65536),
        "label": series("place of its name in ARPABET", dtype="int32", dim="phone"),
    },
    {"end": 2},
    "The sounds of English words; attributes say how sure the words are.",
)


@stage(PHONES, version=1)
def phones(waveform: Artifact) -> Made:
    """Recognise English words, and align their phones."""
    pocketsphinx = import_module("pocketsphinx")  # it has no types
    decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    posteriors: list[float] = []
    spans: list[_Phone] = []
    start, total = 0, waveform.sizes["sample"]
    while start < total:
        samples = waveform.read("sample", start, start + round(_PIECE_S[1] * SAMPLE_RATE))
        length = _cut(samples) if start + len(samples) < total else len(samples)
        heard, found = _heard(decoder, samples[:length])
        posteriors += heard
        spans += [
            (start / SAMPLE_RATE + first, start / SAMPLE_RATE + last, name)
            for first, last, name in found
        ]
        start += length
    facts = {"sure": float(np.mean(posteriors)) if posteriors else 0.0, "words": len(posteriors)}
    span = np.array([each[:2] for each in spans], np.float32).reshape(-1, 2)
    label = np.array([ARPABET.index(name) for *_, name in spans], np.int32)
    return Made({"span": span, "label": label}, facts)


def load_phones(artifact: Artifact) -> tuple[list[Phone], list[str]]:
    """The sounds in order, and their names."""
    spans = [Phone(float(start), float(stop)) for start, stop in artifact.read("span")]
    return spans, [ARPABET[label] for label in artifact.read("label")]


def why_not_sure(phones: Artifact) -> str | None:
    """Why the sounds can't be trusted; None if they can."""
    sure = phones.attributes["sure"]
    if sure >= SURE:
        return None
    return f"no clear English: mean posterior of the words {sure:.3f}, less than {SURE:g}"


def _heard(decoder: Any, samples: NDArray[np.float32]) -> tuple[list[float], list[_Phone]]:
    """Posteriors of the words, and start and end [s] and name of the phones of sure ones."""
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
            (phone.start * _FRAME_S, (phone.start + phone.duration) * _FRAME_S, phone.name)
            for phone in entry
            if phone.name in ARPABET and posterior >= SURE_WORD
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
