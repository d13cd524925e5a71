"""Rendered mouths and the true ones streamed from the store into training.

A batch holds windows of FRAMES consecutive output frames, of which those in the middle are
polished: `patch` (B, FRAMES, 64, 64, 3) and for the middle ones `blended`, `own` (B, 2, 64, 64, 3),
`reference` (B, 2, 4, 64, 64, 3), `lips` (B, 2, 2, 64, 64), `mask` (B, 2, 64, 64), all uint8, RGB,
and `box` (B, 2, 4) [px]; `predicted` (B,), whether speech asked for the lips or they are the true
ones; `row` (B,) of the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from models.sampling.windows import block_edges
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.store import Store
from tasks.methods.polish_pairs import POLISH_PAIRS
from tasks.source.pictures import PIXEL_SHARD
from tasks.training.dataset import Arrays, Blocks, Sample

FRAMES = 4
"""Frames of a window; the first and the last are seen only beside the others."""
BLOCK_FRAMES = 128
"""Frames of a clip read at once."""
_MIDDLE = ("blended", "own", "reference", "lips", "mask", "box")


@dataclass(frozen=True)
class MouthPart:
    """Frames [start, stop) of a clip whose mouths were made.

    Attributes:
        row: In the index.
        key: Of the artifact `polish_pairs`.
        predicted: Speech asked for them.
        start: First frame.
        stop: Frame after the last.
    """

    row: int
    key: str
    predicted: bool
    start: int
    stop: int


class MouthPairs(Blocks):
    """Stretches of clips all of whose frames show a mouth.

    Args:
        parts: Of clips.
        store: URL of the store that holds them.
        stride: Frames from a window of a stretch to the next.

    Raises:
        ValueError: there are no FRAMES such frames in a row in any.
    """

    frames = FRAMES

    def __init__(self, parts: Sequence[MouthPart], store: str, *, stride: int) -> None:
        self._store_url, self.stride = store, stride
        self._blocks = [block for part in parts for block in self._stretches(part)]
        if not self._blocks:
            raise ValueError(f"no clip has {FRAMES} frames in a row whose mouth could be made")
        self.ticks = np.array([block.stop - block.start for block in self._blocks], np.int64)

    def row(self, number: int) -> int:
        return self._blocks[number].row

    def fingerprint(self) -> str:
        blocks = [[block.key, block.start, block.stop] for block in self._blocks]
        return content_key({"stride": self.stride, "blocks": blocks})

    def __getitem__(self, number: int) -> Sample:
        block = self._blocks[number]
        pairs = self._pairs(block)
        read = {n: pairs.read(n, block.start, block.stop) for n in ("patch", *_MIDDLE)}
        found = {name: torch.from_numpy(array) for name, array in read.items()}
        return found | {"predicted": torch.tensor(block.predicted)}

    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        middle = slice(start + 1, start + FRAMES - 1)
        return {
            "patch": block["patch"][start : start + FRAMES],
            "predicted": block["predicted"],
            **{name: block[name][middle] for name in _MIDDLE},
        }

    def _stretches(self, part: MouthPart) -> list[MouthPart]:
        valid = self._pairs(part).read("valid", part.start, part.stop)
        edges = np.flatnonzero(np.diff(np.pad(valid.astype(np.int8), 1))) + part.start
        found = []
        for first, last in edges.reshape(-1, 2).tolist():
            for start, stop in block_edges(first, last, block=BLOCK_FRAMES, least=PIXEL_SHARD):
                if stop - start >= FRAMES:
                    found.append(MouthPart(part.row, part.key, part.predicted, start, stop))
        return found

    @cached_property
    def _store(self) -> Store:
        return Store(self._store_url)

    def _pairs(self, part: MouthPart) -> Artifact:
        return self._store.get(POLISH_PAIRS.kind, part.key)
