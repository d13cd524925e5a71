"""No person is in two splits: as published where it is, drawn by a seed where it is not."""

import hashlib
from collections.abc import Iterable

from flows.datasets.description import Clip, Description, Split

_HELD_OUT: tuple[Split, ...] = ("test", "validation")
"""A person who was published in several splits stays in the first of these."""


def assign_splits(
    clips: Iterable[Clip], description: Description, *, seed: int
) -> tuple[list[tuple[Clip, Split]], list[Clip]]:
    """Clips with the split of their person; and clips that must not be used.

    The latter were published in another split than their person is held out in. Which persons are
    drawn depends on the seed and the person alone, so that clips added later move nobody.
    """
    clips = list(clips)
    published: dict[str, set[Split | None]] = {}
    for clip in clips:
        published.setdefault(clip.person, set()).add(clip.split)
    splits = {
        person: _split(person, given, description, seed) for person, given in published.items()
    }
    usable, barred = [], []
    for clip in clips:
        split = splits[clip.person]
        if clip.split not in (None, split) and split in published[clip.person]:
            barred.append(clip)
        else:
            usable.append((clip, split))
    return usable, barred


def _split(person: str, published: set[Split | None], description: Description, seed: int) -> Split:
    for split in _HELD_OUT:
        if split in published:
            return split
    place = draw(seed, person)
    if "train" in published:
        return "validation" if place < description.validation_of_train else "train"
    if place < description.test:
        return "test"
    return "validation" if place < description.test + description.validation else "train"


def draw(seed: int, person: str) -> float:
    """A number in [0, 1) that looks random and depends on nothing else."""
    digest = hashlib.blake2b(f"{seed}\0{person}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
