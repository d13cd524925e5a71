"""Does the agreement of speech and mouth find how far the sound was shifted?

    python -m benchmarks.agreement --clips DIR [--split validation] [--store FOLDER]

Each clip's sound is moved by ±1 to ±15 frames of 1/25 s (zeros where nothing is left) and the lag
is found anew. It is right if it differs from the unshifted clip's own by the shift, within one
frame. A clip passes if all 30 shifts are right. Faces are found once and kept in the store.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import clip_arguments, clip_rows, largest_face
from benchmarks.command import table
from models.audio.mel import SAMPLE_RATE, mel_spectrogram
from models.metrics.agreement import MIN_TICKS, TICKS_PER_SECOND, Agreement, agree
from models.speech_to_lips.predict import predict_motion
from models.speech_to_lips.recordings import at_ticks
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from tasks.engine.open_run import open_run
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import listening_model
from tasks.speech.waveform import waveform

SHIFTS = [s for s in range(-15, 16) if s]
LENGTHS = (2.0, 3.0, 5.0, 8.0, 15.0, np.inf)
"""Borders of the table's rows [s]."""
TOLERANCE = 1.0
"""Frames of 1/25 s."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """One clip's result.

    Attributes:
        file: its name in the manifest.
        seconds: its length.
        own: agreement of the unshifted clip.
        errors: (shift,) lag found - lag of the unshifted clip - shift [frames].
    """

    file: str
    seconds: float
    own: Agreement
    errors: NDArray[np.float64]

    @property
    def right(self) -> float:
        """Share of shifts found."""
        return float((np.abs(self.errors) <= TOLERANCE).mean())


def motion_of(samples: Array) -> Array:
    """Components of motion (tick, component) that a waveform asks for."""
    network = listening_model()
    motion = predict_motion(network, mel_spectrogram(samples))
    return motion.reshape(len(motion), -1) @ network.basis.numpy().T


def moved(samples: Array, frames: int) -> Array:
    """The sound so many frames later (earlier, if negative), of the same length."""
    step = abs(frames) * SAMPLE_RATE // TICKS_PER_SECOND
    silence = np.zeros(min(step, len(samples)), np.float32)
    if frames > 0:
        return np.concatenate([silence, samples])[: len(samples)]
    return np.concatenate([samples[step:], silence])


def measure(path: Path, row: dict[str, str]) -> Clip:
    """Find the lag of one clip, unshifted and shifted."""
    video = Source.of(path)
    clock, face = largest_face(video)
    valid = face.read("valid")
    if valid.sum() < 2:
        raise ValueError("no face")
    shown, seen = at_ticks(load_timeline(clock).seconds[valid], face.read("mouth")[valid])
    motion = shown.reshape(len(shown), -1) @ listening_model().basis.T
    samples = waveform(video).read("sample")
    own = agree(motion_of(samples), motion, seen=seen)
    lags = [agree(motion_of(moved(samples, s)), motion, seen=seen).lag_ticks for s in SHIFTS]
    # Sound that is later makes the picture earlier beside it.
    errors = np.array(lags) - own.lag_ticks + np.array(SHIFTS)
    return Clip(row["file"], float(row["seconds"]), own, errors)


def report(clips: Sequence[Clip]) -> None:
    """Print the tables."""
    rows = []
    for low, high in [*pairwise(LENGTHS), (5.0, np.inf)]:
        share = [c.right for c in clips if low <= c.seconds < high]
        if share:
            name = f"{low:g} s and more" if high == np.inf else f"{low:g} to {high:g} s"
            every, most = sum(s == 1 for s in share), sum(s >= 0.8 for s in share)
            rows.append([name, len(share), f"{np.mean(share):.1%}", every, most])
    table(["length", "clips", "shifts found", "clips with all 30 found", "with 24 or more"], rows)
    rows = [
        [
            *(clip.file, f"{clip.seconds:.1f}", f"{own.lag_ticks:.1f}", f"{own.correlation:.2f}"),
            *(f"{own.in_step:.2f}", f"{own.confidence:.2f}", f"{clip.right:.0%}"),
        ]
        for clip in sorted(clips, key=lambda c: (c.right, c.own.confidence))
        for own in [clip.own]
    ]
    head = "clip|s|lag [frames]|correlation|in step|confidence|shifts found"
    table(head.split("|"), rows)


def main() -> None:
    parser = clip_arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=MIN_TICKS / TICKS_PER_SECOND)
    arguments = parser.parse_args()
    rows = clip_rows(arguments.clips, arguments.split, seconds=arguments.seconds)
    store = Store(arguments.store or tempfile.mkdtemp(prefix="dubflow-agreement-"))
    clips = []
    with open_run(store, workers=1):
        for row in rows:
            try:
                clips.append(measure(arguments.clips / row["file"], row))
            except (DubflowError, ValueError) as error:
                print(f"{row['file']}: left out: {error}", flush=True)
    report(clips)


if __name__ == "__main__":
    main()
