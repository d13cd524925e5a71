"""A cue sheet proposed for a video: who is seen, when speech is heard, and whose mouth says it.

video ─ timeline ─ faces ─ tracks ─ landmarks ──┐
  └─ sound, or a file of speech ─ voice activity ┴─ who speaks ─ sheet and gallery
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from scipy.optimize import linear_sum_assignment

from flows.cues.voices import Voice, voices_of
from flows.gallery import MISSED, draw_persons, find_all
from models.audio.mel import SAMPLE_RATE
from models.metrics.agreement import agree
from models.metrics.who_speaks import NOBODY, who_speaks
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError
from stores.media.source import probe
from stores.places import check_new_file
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tasks.engine.run import Progress, told_as, usable_processors
from tasks.metrics.agreement import motions
from tasks.metrics.speech import FAMILY, WINDOW, voice_activity
from tasks.source.landmarks import landmarks
from tasks.source.timeline import load_timeline
from tasks.source.track import follow_person
from tasks.speech.lips_model import TICKS_PER_SECOND
from tasks.speech.mel import mel
from tasks.speech.waveform import waveform

MOST_PERSONS = 8
LEAST_SHARE = 0.02
"""Of all frames: who is seen in fewer is no speaker."""
_LIKELY, _PAUSE_SECONDS, _LEAST_SECONDS, _AROUND_SECONDS = 0.5, 0.35, 0.3, 0.08
"""Speech is this likely; shorter pauses do not split it, shorter sounds are none, and so much
before and after belongs to it."""


class Proposal(BaseModel):
    """A proposed sheet."""

    sheet: Path
    gallery: Path | None = Field(description="picture of the faces")
    faces: dict[str, str] = Field(description="what --face takes, by the sheet's names")
    rows: int
    notes: list[str]


@dataclass(frozen=True)
class _Row:
    start: float
    stop: float
    name: str
    voice: Voice


def propose(
    video: Path,
    sheet: Path,
    *,
    speech: Path | None = None,
    store: str,
    progress: Progress | None = None,
) -> Proposal:
    """Write a sheet, and a gallery of the faces beside it.

    Args:
        video: File.
        sheet: .csv to write; the gallery is a .png of the same name, and voices that were taken
            apart are .wav files of the same name and a number.
        speech: Sound to be split instead of the video's own; its channels or tracks, if they are
            of different voices, are given to faces.
        store: Where artifacts are kept; a dub of the same video uses them.

    Raises:
        InputError: a file can't be used, or holds neither face nor sound.
    """
    if sheet.suffix.lower() != ".csv":
        raise InputError(f"{sheet}: name it .csv")
    for file in (sheet, sheet.with_suffix(".png")):
        check_new_file(file)
    if probe(video).kind != "video":
        raise InputError(f"{video} is no video; give one with picture and sound")
    if (lacking := FAMILY.missing()) is not None:
        raise InputError(f"pauses are heard by silero-vad, which is not installed: {lacking}")
    sound = speech or video
    if not probe(sound).has_audio:
        raise InputError(f"{sound} holds no sound; name a file of speech with --speech")
    with open_run(Store(store), workers=usable_processors(), progress=progress) as run:
        source = Source.of(video)
        clip, found, everyone = find_all(source)
        shown = [p for p in everyone if p.share >= LEAST_SHARE][:MOST_PERSONS]
        if not shown:
            raise InputError(f"{video}: no face was found that is seen for long enough: {MISSED}")
        names = {chr(ord("A") + n): each.face for n, each in enumerate(shown)}
        people = []
        for name, face in names.items():
            with told_as(name):
                person = follow_person(source, clip, found, face=face)
                people.append(landmarks(found, person, timeline=clip))
        seconds = load_timeline(clip).seconds
        voices = voices_of(sound, sheet)
        heard = [waveform(Source.of(voice.path), track=voice.track) for voice in voices]
        rows, notes = _rows(voices, heard, people, list(names), seconds)
        gallery = sheet.with_suffix(".png")
        captions = {f"{name}  {names[name]}": each for name, each in zip(names, shown, strict=True)}
        draw_persons(video, load_timeline(clip), captions, gallery)
        given = {"video": str(video.absolute()), "speech": str(sound.absolute()), "store": store}
        record_run(run.store, RunRecord("cues", given, run.touched, str(sheet), roles=run.roles))
    _write(sheet, names, rows)
    return Proposal(sheet=sheet, gallery=gallery, faces=names, rows=len(rows), notes=notes)


def _rows(
    voices: Sequence[Voice],
    heard: Sequence[Artifact],
    people: Sequence[Artifact],
    names: Sequence[str],
    seconds: NDArray[np.float64],
) -> tuple[list[_Row], list[str]]:
    told = [_told(wave, people, seconds) for wave in heard]
    likely = [voice_activity(wave).read("probability") for wave in heard]
    spoken = [_speech(each) for each in likely]
    rows: list[_Row] = []
    if len(voices) > 1:
        fit = np.array([[_fit(*one, person) for person in range(len(people))] for one in told])
        given = dict(zip(*linear_sum_assignment(-fit), strict=True))
        for voice, person in given.items():
            rows += [_Row(*span, names[person], voices[voice]) for span in spoken[voice]]
        faceless = [voice for number, voice in enumerate(voices) if number not in given]
        notes = [f"{each.path}: more voices than faces, this one has none" for each in faceless]
        return sorted(rows, key=lambda row: row.start), notes
    expected, moved, seen = told[0]
    windows = np.arange(len(expected)) / TICKS_PER_SECOND * SAMPLE_RATE / WINDOW
    at = np.minimum(windows.astype(np.int64), len(likely[0]) - 1)
    speaker = who_speaks(expected, moved, seen, speech=likely[0][at] >= _LIKELY)
    notes = []
    for start, stop in spoken[0]:
        for first, last, person in _runs(speaker, start, stop):
            if person == NOBODY:
                notes.append(f"{first:.2f} to {last:.2f} s: speech, and nobody is seen")
            else:
                rows.append(_Row(first, last, names[person], voices[0]))
    return rows, notes


_Told = tuple[NDArray[np.float32], list[NDArray[np.float32]], list[NDArray[np.float32]]]


def _told(wave: Artifact, people: Sequence[Artifact], seconds: NDArray[np.float64]) -> _Told:
    """Motion that a sound asks for, and that of each face, and where it is seen."""
    moved, seen = [], []
    heard = mel(wave)
    for face in people:
        valid = face.read("valid")
        expected, motion, shown = motions(face.read("mouth")[valid], seconds[valid], heard)
        moved.append(motion)
        seen.append(shown)
    return expected, moved, seen


def _fit(
    expected: NDArray[np.float32],
    moved: Sequence[NDArray[np.float32]],
    seen: Sequence[NDArray[np.float32]],
    person: int,
) -> float:
    try:
        return agree(expected, moved[person], seen=seen[person]).in_step
    except ValueError:  # seen too briefly
        return -1.0


def _speech(probability: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Spans of speech [s]."""
    step = WINDOW / SAMPLE_RATE
    edges = np.flatnonzero(np.diff(np.pad(probability >= _LIKELY, 1).astype(np.int8))) * step
    spans: list[tuple[float, float]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if spans and start - spans[-1][1] < _PAUSE_SECONDS:
            start = spans.pop()[0]
        spans.append((float(start), float(stop)))
    end, around = len(probability) * step, _AROUND_SECONDS
    long = [(a, b) for a, b in spans if b - a >= _LEAST_SECONDS]
    return [(max(0.0, a - around), min(end, b + around)) for a, b in long]


def _runs(speaker: NDArray[np.int64], start: float, stop: float) -> list[tuple[float, float, int]]:
    """A span of speech by who speaks in it; what is too short to be speech is of its neighbour."""
    first = min(round(start * TICKS_PER_SECOND), len(speaker) - 1)
    part = speaker[first : max(round(stop * TICKS_PER_SECOND), first + 1)]
    runs = list(pairwise([0, *(np.flatnonzero(np.diff(part)) + 1), len(part)]))
    least = _LEAST_SECONDS * TICKS_PER_SECOND
    long = [(a, b) for a, b in runs if b - a >= least] or [max(runs, key=lambda r: r[1] - r[0])]
    begins = [long[0][0], *(b[0] for a, b in pairwise(long) if part[a[0]] != part[b[0]])]
    edges = [start, *(float(first + at) / TICKS_PER_SECOND for at in begins[1:]), stop]
    return [(a, b, int(part[at])) for (a, b), at in zip(pairwise(edges), begins, strict=True)]


def _write(sheet: Path, names: dict[str, str], rows: Sequence[_Row]) -> None:
    with sheet.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {name}: {face}\n" for name, face in names.items())
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("start", "end", "face", "speech", "offset", "gain_db", "text"))
        for row in rows:
            start = f"{row.start:.3f}"
            speech = row.voice.path.absolute()
            table.writerow((start, f"{row.stop:.3f}", row.name, speech, start, "", ""))
