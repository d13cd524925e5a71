"""Faces with their action units streamed from the store into training.

A batch holds `face` (B, 3, side, side) uint8 RGB, `units` (B, 17) in 0..1, and `row` (B,) of the
index.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from stores.artifacts.keys import content_key
from stores.artifacts.store import Store
from tasks.methods.ganimation_faces import GANIMATION_FACES
from tasks.training.dataset import Arrays, Blocks, Sample
from tasks.training.face_pairs import face_blocks


@dataclass(frozen=True)
class UnitPart:
    """Frames [start, stop) of a clip.

    Attributes:
        row: In the index.
        faces: Key of the artifact `ganimation_faces`.
        start: First frame.
        stop: Frame after the last.
        valid: (frame,) of these: there is a face whose units are known.
        units: (frame, 17) of these, 0..1.
    """

    row: int
    faces: str
    start: int
    stop: int
    valid: NDArray[np.bool_] = field(repr=False)
    units: NDArray[np.float32] = field(repr=False)


class UnitFaces(Blocks):
    """Stretches of clips, whose ticks are the frames that have a face.

    Args:
        parts: Of clips.
        store: URL of the store that holds them.
        stride: Frames from a sample of a clip to the next.

    Raises:
        ValueError: there is no face in any.
    """

    frames = 1

    def __init__(self, parts: Sequence[UnitPart], store: str, *, stride: int) -> None:
        self._store_url, self.stride = store, stride
        self._blocks = face_blocks([(part, part.valid) for part in parts], least=1)
        if not self._blocks:
            raise ValueError("no clip has a frame with a face")
        self.ticks = np.array([len(rows) for _, rows in self._blocks], np.int64)

    def row(self, number: int) -> int:
        return self._blocks[number][0].row

    def fingerprint(self) -> str:
        blocks = [
            [p.faces, r.tolist(), hashlib.blake2b(p.units[r - p.start].tobytes()).hexdigest()]
            for p, r in self._blocks
        ]
        return content_key({"stride": self.stride, "blocks": blocks})

    def __getitem__(self, number: int) -> Sample:
        part, rows = self._blocks[number]
        start = int(rows[0])
        kept = self._store.get(GANIMATION_FACES.kind, part.faces)
        faces = kept.read("face", start, int(rows[-1]) + 1)
        found = {
            "face": faces[rows - start][..., ::-1].transpose(0, 3, 1, 2),
            "units": part.units[rows - part.start],
        }
        return {n: torch.from_numpy(np.ascontiguousarray(array)) for n, array in found.items()}

    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        return {name: array[start] for name, array in block.items()}

    @cached_property
    def _store(self) -> Store:
        return Store(self._store_url)
