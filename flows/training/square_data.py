"""Aligned faces of an index and what is heard in it, cut and reckoned here first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from flows.training.index_data import open_parts, seen_clip
from flows.training.job import Job
from models.stylegan2_face.settings import EmbeddingSize, SquareSettings
from models.stylegan2_face.units import find_units, statistics
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from tasks.engine.open_run import open_run
from tasks.source.face_squares import face_squares
from tasks.speech.davs_cepstra import davs_cepstra
from tasks.training.face_squares import CEPSTRA, SQUARES, SquareBlocks, SquareWindows
from tasks.training.recipe import Data
from tasks.training.stylegan2 import SpeakingSquareSettings
from tasks.training.stylegan2_identity import IdentitySettings


def open_persons(job: Job) -> Data:
    """Two faces of a clip, and whose they are.

    Raises:
        InputError: a clip is not there any more, or another one, or there are too many persons.
    """
    settings = job.settings
    assert isinstance(settings, IdentitySettings)
    cut_parts = _cutter(job, settings.size, sound=None)

    def cut(parts: Sequence[ClipPart], judged: bool) -> SquareBlocks:
        names = sorted({part.person for part in parts})
        if not judged and len(names) > settings.persons:
            raise ValueError(f"{len(names)} persons are more than settings.persons")
        windows = SquareWindows(
            side=settings.size.side,
            frames=1,
            stride=settings.judged_stride if judged else settings.stride,
            sound=False,
        )
        persons = {name: number for number, name in enumerate(names)}
        return SquareBlocks(cut_parts(parts), job.store, windows, persons=persons)

    with open_run(Store(job.store)):
        return open_parts(job, cut, _facts(settings.size))


def open_speaking(
    job: Job, *, network: str, references: int, classified: int = 0, by_opening: bool = False
) -> Data:
    """Windows of faces and of what is heard.

    Args:
        job: Of a recipe with such settings.
        network: Beginning of the audio encoder's keys in the networks, by phase.
        references: Other faces of the clip.
        classified: Consecutive faces whose class is known.
        by_opening: It tells how far the mouth is open, and not what is said.

    Raises:
        InputError: a clip is not there any more, or another one, or words are missing.
    """
    settings = job.settings
    assert isinstance(settings, SpeakingSquareSettings)
    size: EmbeddingSize = settings.size  # type: ignore[attr-defined]
    cut_parts, learned = _cutter(job, size, sound=size.mfcc), list[SquareBlocks]()
    classes: list[tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]] = []

    def cut(parts: Sequence[ClipPart], judged: bool) -> SquareBlocks:
        windows = settings.window.model_copy(
            update={
                "side": size.side,
                "stride": settings.judged_stride if judged else settings.stride,
                "references": references,
                "classified": classified,
                "spread": by_opening,
            }
        )
        words = words_of(parts, settings.classes) if settings.speech_classes == "words" else None
        chosen = parts if words is None else [part for part in parts if part.row in words]
        made = cut_parts(chosen)
        if not judged and (words is None or by_opening):
            plain = SquareBlocks(made, job.store, windows)
            units = find_units(plain.all_heard(), settings.classes) if words is None else None
            classes.append((units, plain.opening_bounds() if by_opening else None))
        units, opened = classes[0] if classes else (None, None)
        blocks = SquareBlocks(made, job.store, windows, units=units, opened=opened, words=words)
        learned.append(blocks)
        return blocks

    @cache
    def initial() -> Mapping[str, Tensor]:
        mean, spread = statistics(learned[0].all_heard())
        return {f"{network}.mean": from_numpy(mean), f"{network}.spread": from_numpy(spread)}

    with open_run(Store(job.store)):
        data = open_parts(job, cut, {**_facts(size), "mfcc": size.mfcc})
    return data if getattr(settings, "embedding", None) else replace(data, initial=initial)


def words_of(parts: Sequence[ClipPart], count: int) -> dict[int, int]:
    """Number of each clip's word, by row of the index, of the first so many words by alphabet.

    Raises:
        ValueError: clips are not named WORD_NUMBER, as LRW's are.
    """
    named = {part.row: part.path.stem.rpartition("_")[::2] for part in parts}
    if not all(word and number.isdigit() for word, number in named.values()):
        raise ValueError("clips are not named WORD_NUMBER as LRW's; set speech_classes=units")
    words = sorted({word for word, _ in named.values()})[:count]
    numbers = {word: number for number, word in enumerate(words)}
    return {row: numbers[word] for row, (word, _) in named.items() if word in numbers}


def _facts(size: SquareSettings) -> dict[str, Any]:
    return {"align": size.align, "side": size.side}


def _cutter(
    job: Job, size: SquareSettings, *, sound: str | None
) -> Callable[[Sequence[ClipPart]], list[ClipPart]]:
    """Makes parts with the keys of their squares and of what is heard in them."""
    store = Store(job.store)
    squares = SquareSettings(align=size.align, side=size.side)

    @cache
    def faces(digest: str, path: Path, timeline: str, landmarks: str) -> str:
        seen = seen_clip(store, digest, path, timeline=timeline, landmarks=landmarks)
        return face_squares(seen, settings=squares).key

    def cut(parts: Sequence[ClipPart]) -> list[ClipPart]:
        made = []
        for part in parts:
            keys = dict(part.keys)
            given = keys["timeline"], keys["landmarks"]
            keys[SQUARES] = faces(part.digest, part.path, *given)
            if sound == "davs":
                heard = davs_cepstra(store.get("waveform", keys["waveform"]))
                keys[CEPSTRA] = f"{heard.kind}/{heard.key}"
            elif sound is not None:
                keys[CEPSTRA] = f"mfcc/{keys['mfcc']}"
            made.append(replace(part, keys=keys))
        return made

    return cut
