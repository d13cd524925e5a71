"""Training of the shipped speech → mouth models, from prepared clips.

    python -m benchmarks.speech_model --data clips.parquet --store FOLDER -o out.safetensors

No recipe of `dubflow train`, because nothing here goes step by step through a stream of data: level
and basis of motion come from all clips at once, a first network finds the lags that the second one
is trained without, and small networks are trained one after the other, 13 minutes in all.
"""

import json
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file

from benchmarks.lips import SHOWN, Clip, read_clip, report
from benchmarks.trained import data_arguments
from models.audio.mel import COLUMNS_PER_SECOND, SAMPLE_RATE, mel_spectrogram
from models.speech_to_lips.adapt import adapt
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.figures import Figures, clip_figures
from models.speech_to_lips.fit import FitSettings, fit
from models.speech_to_lips.gate import n_ticks
from models.speech_to_lips.lag import shifted
from models.speech_to_lips.layout import TICK_STEP, TICKS_PER_SECOND, InputFeatures, Level, Size
from models.speech_to_lips.lips_network import LipsNetwork
from models.speech_to_lips.network import SpeechToLips
from models.speech_to_lips.neutral import neutral_mouth, opening, opening_scale
from models.speech_to_lips.predict import predict_motion
from models.speech_to_lips.recordings import (
    Example,
    Recording,
    common_level,
    cut,
    estimate_lags,
    examples,
)
from models.speech_to_lips.training import mirrored_rows
from stores.artifacts.store import Store
from stores.dataset_index import read_parts
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tasks.inference.threads import one_thread
from tasks.source.landmarks import mirrored_points
from tasks.speech.speech_features import features_of

Array = NDArray[np.float32]

FIRST_ROUND_STEPS = 400
"""Of the model that only finds the lags."""
AUGMENTATION: dict[InputFeatures, float] = {"whisper": 1.0, "mel": 0.5}
"""Strength that did best, by what is heard: a spectrogram shows voices and rooms as it is."""
WORDLESS_CLIPS = 64
"""Made-up clips of noise and tones, which open no mouth."""
MAX_TURN_DEG = 40.0
"""Of faces turned away further, the landmarks of the far side are guesses: left out."""
LEAST_COLUMNS = COLUMNS_PER_SECOND // 4
"""Clips with less sound are left out."""
TRAINED_ON, REPORTED_ON = "train", "validation"
"""Splits of the index."""
ADAPT_MIN_SECONDS = 8.0
"""Clips so long are parted: the first half to adapt, the second to test."""
FIGURES = SHOWN | {"closed": "closed throughout [%]", "random": "mouth of another moment [%]"}


def recordings(clips: Iterable[Clip]) -> list[Recording]:
    """What is to be learned from: parts of clips as long as a face is seen, not turned away."""
    found = []
    for clip in clips:
        facing = np.abs(clip.pose.rotation[:, 0, 2]) < np.sin(np.radians(MAX_TURN_DEG))
        whole = replace(clip, valid=clip.valid & facing).recording()
        if whole is None or not whole.seen.any():
            continue
        first, last = np.flatnonzero(whole.seen)[[0, -1]] // TICK_STEP * TICK_STEP
        part = cut(whole, int(first), int(last) + TICK_STEP)
        if len(part.mel) >= LEAST_COLUMNS:
            found.append(part)
    return found


def train(training: Sequence[Recording], settings: FitSettings, size: Size) -> SpeechToLips:
    """Speech → mouth motion, in two rounds: the first finds how late each clip's picture is."""
    rows, level = mirrored_rows(mirrored_points()), common_level(training, size.input_features)
    made = [*training, *wordless(neutral_mouth(training[0].mouth[training[0].seen > 0]))]
    first = replace(settings, steps=min(settings.steps, FIRST_ROUND_STEPS))
    alone = replace(size, members=1)
    model = _fit(examples(made, level, lags={}), level, rows, first, alone, "first round")
    lags = estimate_lags(training, [_opening(model.trained(), r) for r in training])
    return _fit(examples(made, level, lags=lags), level, rows, settings, size, "training")


def held_out(person: str) -> bool:
    """Whether a training person is for choosing, not for training: about every fourth is."""
    return zlib.crc32(person.encode()) % 4 == 0


def _lot(person: str) -> float:
    """A number in 0..1 drawn for a person, always the same."""
    return zlib.crc32(f"share {person}".encode()) / 2**32


def _fit(
    made: Sequence[Example],
    level: Level,
    rows: NDArray[np.int64],
    settings: FitSettings,
    size: Size,
    name: str,
) -> SpeechToLips:
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=settings.steps * size.members)

        def show(step: int, loss: float) -> None:
            progress.update(task, completed=step, description=f"{name}, loss {loss:.3f}")

        return fit(made, level, rows=rows, recipe=settings, size=size, on_step=show)


def save(
    model: SpeechToLips, path: Path, settings: FitSettings, training: Sequence[Recording]
) -> None:
    """Weights as float16 safetensors, sizes and origin in the metadata."""
    state = {k: v.to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    metadata = {
        "config": json.dumps(model.size.to_dict()),
        "recipe": json.dumps(asdict(settings)),
        "trained_on": json.dumps(
            {
                "seconds": round(sum(len(r.mouth) for r in training) / TICKS_PER_SECOND),
                "persons": len({r.person for r in training}),
            }
        ),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata=metadata)


def print_figures(model: LipsNetwork, reported: Sequence[Recording]) -> None:
    """On persons that the model has not seen: lags left in and taken out, and adapted."""
    lags = estimate_lags(reported, [_opening(model, r) for r in reported])
    known = {name: lag or 0.0 for name, lag in lags.items()}
    tables = {
        "As recorded": {"model": _figures(model, examples(reported, model.level, lags={}))},
        "Lag taken out": {"model": _figures(model, examples(reported, model.level, lags=known))},
        "Second halves": _adapted_figures(model, reported),
    }
    for title, found in tables.items():
        report(found, title, FIGURES)


def _figures(model: LipsNetwork, made: Sequence[Example]) -> list[tuple[str, Figures]]:
    """Of each clip of 1 s or more, its person and its figures; motion scaled to the person."""
    found = []
    for example in made:
        plain = Adapter.plain(model.size, scale=example.scale)
        figures = clip_figures(
            predict_motion(
                model, example.recording.mel, speech=example.recording.speech, adapter=plain
            ),
            example.motion * np.float32(example.scale),
            neutral=example.neutral,
            seen=example.weight,
        )
        if figures:
            found.append((example.person, figures))
    return found


def _adapted_figures(
    model: LipsNetwork, recordings: Sequence[Recording]
) -> dict[str, list[tuple[str, Figures]]]:
    """On the second halves of long clips: without and with adaptation on the first halves."""
    found: dict[str, list[tuple[str, Figures]]] = {"plain": [], "adapted": []}
    for recording in recordings:
        ticks = min(len(recording.mouth), n_ticks(len(recording.mel)))
        if ticks < ADAPT_MIN_SECONDS * TICKS_PER_SECOND:
            continue
        half = ticks // 10 * 5
        first = cut(recording, 0, half)
        if not first.seen.any():
            continue
        shown = first.mouth[first.seen > 0]
        neutral = neutral_mouth(shown)
        scale = opening_scale(shown, neutral)
        fitted = adapt(
            model,
            first.mel,
            speech=first.speech,
            motion=first.mouth - neutral,
            seen=first.seen,
            scale=scale,
        )
        plain = Adapter.plain(model.size, scale=scale)
        motion = shifted(recording.mouth - neutral, fitted.lag_seconds * TICKS_PER_SECOND)
        for name, adapter in (("plain", plain), ("adapted", fitted.adapter)):
            predicted = predict_motion(
                model, recording.mel, speech=recording.speech, adapter=adapter
            )
            figures = clip_figures(
                predicted[half:ticks],
                motion[half:ticks],
                neutral=neutral,
                seen=recording.seen[half:ticks],
            )
            if figures:
                found[name].append((recording.person, figures))
    return found


def _opening(model: LipsNetwork, recording: Recording) -> Array:
    """Opening (tick,) that the model predicts, on the clip's own neutral mouth."""
    neutral = neutral_mouth(recording.mouth[recording.seen > 0])
    return opening(neutral + predict_motion(model, recording.mel, speech=recording.speech))


def wordless(mouth: Array) -> list[Recording]:
    """Noise and tones without a word, at which the mouth (57, 3) stays as it is."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(WORDLESS_CLIPS):
        time = np.arange(round(1.2 * SAMPLE_RATE)) / SAMPLE_RATE
        sound = np.cumsum(rng.standard_normal(len(time))) if number % 2 else time * 0
        sound = np.diff(sound, prepend=0) if number % 4 == 1 else sound - sound.mean()
        sound = sound / max(np.abs(sound).max(), 1e-6)
        for hz in rng.uniform(60, 1500, int(rng.integers(0, 4))):
            sound = sound + 0.5 * np.sin(2 * np.pi * hz * time)
        loud = 10 ** rng.uniform(-3, -0.7)
        waveform = (loud * sound / max(np.abs(sound).max(), 1e-6)).astype(np.float32)
        mel = mel_spectrogram(waveform)
        ticks = n_ticks(len(mel))
        still = np.repeat(mouth[None], ticks, 0).astype(np.float32)
        name = f"wordless {number}"
        seen = np.ones(ticks, np.float32)
        made.append(
            Recording(name, f"nobody {number % 8}", mel, still, seen, features_of(waveform))
        )
    return made


def main(given: Sequence[str] | None = None) -> None:
    """Train, write the weights, and print figures on persons that were not trained on."""
    parser = data_arguments(__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="weights: .safetensors")
    parser.add_argument("--steps", type=int, default=FitSettings.steps, help="of a member")
    parser.add_argument("--seed", type=int, default=FitSettings.seed, help="of all that is chance")
    parser.add_argument(
        "--input-features",
        choices=get_args(InputFeatures),
        default="whisper",
        help="whisper: features of a speech encoder; mel: a spectrogram",
    )
    parser.add_argument("--members", type=int, default=4, help="networks that are averaged")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the persons, for a learning curve: 0..1"
    )
    parser.add_argument(
        "--develop",
        action="store_true",
        help="report on training persons held out, not on validation persons",
    )
    chosen = parser.parse_args(given)
    # So the same seed gives the same weights on any machine of this kind; and it is no slower.
    one_thread()
    store = Store(chosen.store)
    try:
        parts = read_parts(chosen.data, splits=[TRAINED_ON, REPORTED_ON])
    except InputError as error:
        sys.exit(str(error))
    with open_run(store):
        training, reported = (
            recordings(read_clip(part, store) for part in parts if part.split == split)
            for split in (TRAINED_ON, REPORTED_ON)
        )
    if chosen.develop:
        reported = [r for r in training if held_out(r.person)]
        training = [r for r in training if not held_out(r.person)]
    training = [r for r in training if _lot(r.person) < chosen.share]
    if not training:
        sys.exit(f"{chosen.data} has no usable clip for {TRAINED_ON}")
    settings = FitSettings(
        steps=chosen.steps, seed=chosen.seed, augmentation=AUGMENTATION[chosen.input_features]
    )
    model = train(
        training, settings, Size(input_features=chosen.input_features, members=chosen.members)
    )
    save(model, chosen.output, settings, training)
    print(f"wrote {chosen.output}")
    if reported:
        print_figures(model.trained(), reported)


if __name__ == "__main__":
    main()
