"""Data sets that `dubflow prepare` made, for training."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.training.job import Job, training_loader, validation_loader
from models.audio.mel import SAMPLE_RATE
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart, index_facts, read_parts
from stores.errors import InputError
from stores.media.facts import VideoFacts
from tasks.source.seen import Seen
from tasks.training.dataset import BlockDataset, Blocks, WindowSettings
from tasks.training.recipe import Data

HEARD_SECONDS = 30.0
"""Of a validation clip on TensorBoard."""
TRAINED_ON, JUDGED_ON = "train", "validation"

UNJUDGED = (
    "no person of the index is for validation: nothing tells when the network stops learning, and "
    "the weights of the last step are taken, good or bad; prepare more persons, or give some of "
    "them the split validation in manifest.csv"
)

Windows = Callable[[Any], WindowSettings]
"""A recipe's settings → what its loader shall give."""
Cut = Callable[[Sequence[ClipPart], bool], Blocks]


def open_index(
    job: Job,
    *,
    windows: Windows,
    judged_windows: Windows,
    changed: Callable[[ClipPart], ClipPart] = lambda part: part,
) -> Data:
    """Loaders of a data set's training and validation split.

    Args:
        windows: What the recipe needs of each window of a clip, to learn.
        judged_windows: And to be judged, in the clips' order.
        changed: The same part with other artifacts in place of those prepared.
    """

    def cut(parts: Sequence[ClipPart], judged: bool) -> Blocks:
        chosen = judged_windows if judged else windows
        return BlockDataset([changed(part) for part in parts], job.store, chosen(job.settings))

    return open_parts(job, cut)


def open_parts(job: Job, cut: Cut, facts: Mapping[str, Any] = MappingProxyType({})) -> Data:
    """The same, of whatever is cut out of the clips.

    Args:
        cut: Parts of clips, and whether they are to judge by → blocks; a ValueError says that they
            are too short.
        facts: More of the data, for the card.
    """
    about = index_facts(job.index)
    training = read_parts(job.index, splits=[TRAINED_ON])
    validation = _validation_segments(job.index)
    try:
        blocks = [cut(training, False)]
        if validation:
            blocks.append(cut(validation, True))
    except ValueError as error:
        raise InputError(f"{job.index}: {error}; train on longer clips") from None

    told = {
        "index": job.index.name,
        "dataset": about["dataset"]["title"],
        "licence": about["dataset"].get("licence"),
        "splits": {
            TRAINED_ON: _counted(training),
            JUDGED_ON: _counted(validation) if validation else None,
        },
        "filters": about["filters"],
        **facts,
        **({} if validation else {"note": UNJUDGED}),
        "key": (key := "-".join(block.fingerprint() for block in blocks)),
    }
    return Data(
        training_loader(job, blocks[0]),
        validation_loader(job, blocks[1]) if validation else None,
        told,
        key,
        lambda: {"speech of the first validation clip": _speech(job.store, validation[0])},
    )


def seen_clip(store: Store, digest: str, path: Path, *, timeline: str, landmarks: str) -> Seen:
    """A prepared clip, without its sound, for stages that read its pictures.

    Args:
        store: That it was prepared in.
        digest: Of its bytes then.
        path: Where it lies.
        timeline: Key of that artifact; likewise `landmarks`.

    Raises:
        InputError: it is not there any more, or another one.
    """
    video = Source.of(path)
    if video.key != digest:
        raise InputError(f"{path} is not the clip that was prepared; prepare it again")
    found = (store.get("timeline", timeline), store.get("landmarks", landmarks))
    return Seen(video, *found, None)


def _speech(url: str, segment: ClipPart) -> tuple[NDArray[np.float32], int]:
    """What is heard in a part, at most HEARD_SECONDS of it."""
    store = Store(url)
    timeline = store.get("timeline", segment.keys["timeline"])
    facts = VideoFacts.from_dict(timeline.attributes["video"])
    start = float(timeline.read("pts", segment.start, segment.start + 1)[0] * facts.time_base)
    waveform = store.get("waveform", segment.keys["waveform"])
    first = max(round(start * SAMPLE_RATE), 0)
    last = first + round(min(segment.seconds, HEARD_SECONDS) * SAMPLE_RATE)
    total = waveform.sizes["sample"]
    return waveform.read("sample", min(first, total), min(last, total)), SAMPLE_RATE


def _validation_segments(index: Path) -> list[ClipPart]:
    try:
        return read_parts(index, splits=[JUDGED_ON])
    except InputError:
        return []


def _counted(segments: Sequence[ClipPart]) -> dict[str, float]:
    persons = Counter(segment.person for segment in segments)
    return {
        "persons": len(persons),
        "parts": len(segments),
        "seconds": round(sum(segment.seconds for segment in segments), 1),
    }
