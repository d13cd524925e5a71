"""Training of the models that ship: `python -m flows.recipes.speech_to_lips --help`."""

import csv
import json
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from safetensors.numpy import load_file
from safetensors.torch import save_file

from models.audio.mel import SAMPLE_RATE, mel_spectrogram
from models.faces.mesh.align import estimate_pose
from models.faces.mesh.indices import MOUTH, N_POINTS
from models.speech_to_lips.adapt import adapt
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.figures import Figures, clip_figures, summarise
from models.speech_to_lips.fit import FitSettings, fit
from models.speech_to_lips.gate import n_ticks
from models.speech_to_lips.lag import shifted
from models.speech_to_lips.network import InputFeatures, Level, Size, SpeechToLips
from models.speech_to_lips.neutral import neutral_mouth, opening, opening_scale
from models.speech_to_lips.predict import predict_motion
from models.speech_to_lips.recordings import (
    Example,
    Recording,
    at_ticks,
    common_level,
    estimate_lags,
    examples,
)
from models.speech_to_lips.training import mirrored_rows
from stores.errors import InputError, MediaError, SettingsError
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.timeline import Timeline
from stores.shipped import shipped_file
from tasks.source.faces import DETECTION_SIDE_PX
from tasks.source.landmarks import mean_face
from tasks.source.mesh_detector import FaceMeshDetector
from tasks.speech.speech_features import heard

Array = NDArray[np.float32]

app = typer.Typer(add_completion=False, no_args_is_help=True)
console = Console(stderr=True)

FIRST_ROUND_STEPS = 400
"""Of the model that only finds the lags."""
AUGMENTATION: dict[InputFeatures, float] = {"whisper": 1.0, "mel": 0.5}
"""Strength that did best, by what is heard: a spectrogram shows voices and rooms as it is."""
WORDLESS_CLIPS = 64
"""Made-up clips of noise and tones, which open no mouth."""
MAX_TURN_DEG = 40.0
"""Of faces turned away further, the landmarks of the far side are guesses: left out."""
TRAINED_ON, REPORTED_ON = "train", "validation"
"""Values of the manifest's column `split`."""
ADAPT_MIN_SECONDS = 8.0
"""Clips so long are parted: the first half to adapt, the second to test."""


@app.callback()
def main() -> None:
    """Train the models that ship with the project."""


@app.command("speech_to_lips")
def train_speech_to_lips(
    clips: Annotated[Path, typer.Option(help="Folder of talking-face clips with a manifest.csv")],
    out: Annotated[Path, typer.Option(help="Weights file to write (.safetensors)")],
    landmarks: Annotated[
        Path, typer.Option(help="Folder that keeps landmarks from one run to the next")
    ] = Path(".dubflow/landmarks"),
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps of a member")
    ] = FitSettings.steps,
    seed: Annotated[int, typer.Option(help="Seed of everything left to chance")] = FitSettings.seed,
    input_features: Annotated[
        InputFeatures,
        typer.Option(help="whisper: features of a speech encoder; mel: a spectrogram"),
    ] = "whisper",
    members: Annotated[
        int, typer.Option(min=1, max=32, help="Networks whose answers are averaged")
    ] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Processes that find landmarks")] = 2,
    share: Annotated[
        float, typer.Option(min=0.05, max=1, help="Of the training persons: for a learning curve")
    ] = 1.0,
    develop: Annotated[
        bool, typer.Option(help="Report on training persons held out, not on validation persons")
    ] = False,
) -> None:
    """Speech → mouth motion, from clips whose manifest names file, person and split."""
    # So the same seed gives the same weights on any machine of this kind; and it is no slower.
    torch.set_num_threads(1)
    try:
        everything = read_recordings(clips, landmarks, workers=workers)
    except InputError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from None
    training = [r for split, r in everything if split == TRAINED_ON]
    reported = [r for split, r in everything if split == REPORTED_ON]
    if develop:
        reported = [r for r in training if held_out(r.person)]
        training = [r for r in training if not held_out(r.person)]
    training = [r for r in training if _lot(r.person) < share]
    if not training:
        console.print(f"[red]{clips / 'manifest.csv'} marks no usable clip as {TRAINED_ON}")
        raise typer.Exit(2)
    rows = mirrored_rows(
        load_file(shipped_file("models/faces/mesh/mean_face.safetensors"))["mirror"]
    )
    size = Size(input_features=input_features, members=members)
    made = [*training, *wordless(neutral_mouth(training[0].mouth[training[0].seen > 0]))]
    level = common_level(training, input_features)
    recipe = FitSettings(steps=steps, seed=seed, augmentation=AUGMENTATION[input_features])
    first = replace(recipe, steps=min(steps, FIRST_ROUND_STEPS))
    alone = replace(size, members=1)
    model = _fit(examples(made, level, lags={}), level, rows, first, alone, "first round")
    lags = estimate_lags(training, [_opening(model, r) for r in training])
    model = _fit(examples(made, level, lags=lags), level, rows, recipe, size, "training")
    save(model, out, recipe=recipe, seconds=_seconds(training), persons=_persons(training))
    console.print(f"wrote {out}")
    if reported:
        report(model, reported)


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
    recipe: FitSettings,
    size: Size,
    name: str,
) -> SpeechToLips:
    with _progress() as progress:
        task = progress.add_task(name, total=recipe.steps * size.members)

        def show(step: int, loss: float) -> None:
            progress.update(task, completed=step, description=f"{name}, loss {loss:.3f}")

        return fit(made, level, rows=rows, recipe=recipe, size=size, on_step=show)


def save(
    model: SpeechToLips, path: Path, *, recipe: FitSettings, seconds: float, persons: int
) -> None:
    """Weights as float16 safetensors, sizes and origin in the metadata."""
    state = {k: v.to(torch.float16).contiguous() for k, v in model.state_dict().items()}
    metadata = {
        "config": json.dumps(model.size.to_dict()),
        "recipe": json.dumps(asdict(recipe)),
        "trained_on": json.dumps({"seconds": round(seconds), "persons": persons}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata=metadata)


def report(model: SpeechToLips, recordings: Sequence[Recording]) -> None:
    """Print the figures on persons that the model has not seen, lags taken out and left in."""
    table = Table("figure", "as recorded", "lag taken out", "before adapting", "adapted")
    lags = estimate_lags(recordings, [_opening(model, r) for r in recordings])
    columns: list[list[tuple[str, Figures]]] = [
        _figures(model, examples(recordings, model.level, lags={})),
        _figures(
            model, examples(recordings, model.level, lags={k: v or 0.0 for k, v in lags.items()})
        ),
        *_adapted_figures(model, recordings),
    ]
    summaries = [summarise([f for _, f in c], [p for p, _ in c]) for c in columns if c]
    for name in summaries[0]:
        table.add_row(name, *(str(summary[name]) for summary in summaries))
    table.add_row("clips", *(str(len(column)) for column in columns))
    Console().print(table)


def _figures(model: SpeechToLips, made: Sequence[Example]) -> list[tuple[str, Figures]]:
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
    model: SpeechToLips, recordings: Sequence[Recording]
) -> list[list[tuple[str, Figures]]]:
    """On the second halves of long clips: without and with adaptation on the first halves."""
    found: list[list[tuple[str, Figures]]] = [[], []]
    for recording in recordings:
        ticks = min(len(recording.mouth), n_ticks(len(recording.mel)))
        if ticks < ADAPT_MIN_SECONDS * 25:
            continue
        half = ticks // 10 * 5
        seen, mouth, mel, speech = recording.seen, recording.mouth, recording.mel, recording.speech
        if not seen[:half].any():
            continue
        shown = mouth[:half][seen[:half] > 0]
        neutral = neutral_mouth(shown)
        scale = opening_scale(shown, neutral)
        motion = mouth - neutral
        fitted = adapt(
            model,
            mel[: half * 16 // 5],
            speech=None if speech is None else speech[: half * 2],
            motion=motion[:half],
            seen=seen[:half],
            scale=scale,
        )
        plain = Adapter.plain(model.size, scale=scale)
        motion = shifted(motion, fitted.lag_seconds * 25)
        for column, adapter in zip(found, (plain, fitted.adapter), strict=True):
            predicted = predict_motion(model, mel, speech=speech, adapter=adapter)[half:ticks]
            figures = clip_figures(
                predicted, motion[half:ticks], neutral=neutral, seen=seen[half:ticks]
            )
            if figures:
                column.append((recording.person, figures))
    return found


def _opening(model: SpeechToLips, recording: Recording) -> Array:
    """Opening (tick,) that the model hears, on the clip's own neutral mouth."""
    neutral = neutral_mouth(recording.mouth[recording.seen > 0])
    return opening(neutral + predict_motion(model, recording.mel, speech=recording.speech))


def _seconds(recordings: Sequence[Recording]) -> float:
    return sum(len(r.mouth) for r in recordings) / 25


def _persons(recordings: Sequence[Recording]) -> int:
    return len({r.person for r in recordings})


# Reading clips: sound and landmarks, kept from run to run.


def read_recordings(clips: Path, landmarks: Path, *, workers: int) -> list[tuple[str, Recording]]:
    """Each usable clip of the manifest with its split."""
    manifest = clips / "manifest.csv"
    if not manifest.is_file():
        raise SettingsError(f"{clips} has no manifest.csv; give the folder of the clips")
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    missing = {"file", "person", "split"} - set(rows[0] if rows else ())
    if missing:
        raise SettingsError(f"{manifest} lacks columns {', '.join(sorted(missing))}")
    landmarks.mkdir(parents=True, exist_ok=True)
    jobs = [(clips / r["file"], _kept(landmarks, r["file"])) for r in rows]
    todo = [job for job in jobs if not job[1].exists()]
    with _progress() as progress, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        task = progress.add_task("landmarks", total=len(todo))
        for skipped in pool.map(_keep, todo):
            progress.advance(task)
            if skipped:
                console.print(skipped)
    return list(_usable(rows, [kept for _, kept in jobs]))


def _kept(landmarks: Path, file: str) -> Path:
    return landmarks / (file.replace("/", "_") + ".npz")


def _usable(
    rows: Sequence[dict[str, str]], kept: Sequence[Path]
) -> Iterator[tuple[str, Recording]]:
    for row, path in zip(rows, kept, strict=True):
        if not path.exists():
            continue
        with np.load(path) as arrays:
            if not len(arrays["times"]) or len(arrays["waveform"]) < SAMPLE_RATE // 4:
                continue
            mouth, seen = at_ticks(arrays["times"], arrays["mouth"])
            if not seen.any():
                continue
            mel, speech = mel_spectrogram(arrays["waveform"]), arrays["speech"].copy()
        yield row["split"], Recording(row["file"], row["person"], mel, mouth, seen, speech)


def _keep(job: tuple[Path, Path]) -> str:
    """Read one clip into the landmarks folder; what is wrong with it, if anything."""
    path, out = job
    try:
        times, landmarks = _landmarks(path, scan(path))
        waveform = decode_audio(path, rate=SAMPLE_RATE, mono=True)[:, 0]
    except MediaError as error:
        return str(error)
    mouth = np.zeros((0, len(MOUTH), 3), np.float32)
    if len(landmarks):
        pose = estimate_pose(landmarks, mean_face())
        facing = np.abs(pose.rotation[:, 0, 2]) < np.sin(np.radians(MAX_TURN_DEG))
        mouth = pose.to_canonical(landmarks)[facing][:, list(MOUTH)]
        times = times[facing]
    part = out.with_suffix(".part.npz")
    np.savez(part, times=times, mouth=mouth, waveform=waveform, speech=heard(waveform))
    part.replace(out)
    return ""


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
        made.append(Recording(name, f"nobody {number % 8}", mel, still, seen, heard(waveform)))
    return made


def _landmarks(path: Path, clip: Timeline) -> tuple[NDArray[np.float64], Array]:
    """Of frames with a face: times (frame,) [s], landmarks (frame, 478, 3) [px]."""
    detector = FaceMeshDetector(max_faces=1)
    times: list[float] = []
    found: list[Array] = []
    try:
        for frame in read_frames(path, clip, 0, len(clip)):
            faces, _ = detector.detect(frame.rgb(DETECTION_SIDE_PX))
            if len(faces):
                times.append(frame.seconds)
                found.append(faces[0])
    finally:
        detector.close()
    return np.array(times, np.float64), np.array(found, np.float32).reshape(-1, N_POINTS, 3)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


if __name__ == "__main__":
    app()
