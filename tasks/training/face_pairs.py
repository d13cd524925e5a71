"""Pairs of faces of one clip streamed from the store into training, each with its coefficients.

A batch holds `face` (B, 3, side, side) uint8 RGB and `window` (B, 73, 26), D-Net's input for it,
and `mouth` (B, 4), a box around its lips [shares of the side]; `other_face`, `other_window` and
`other_mouth`, the same of another moment; `row` (B,) of the index.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.faces.smooth import valid_runs
from models.sampling.windows import STRETCH_TICKS, STRETCHES, Stretch, block_edges
from models.video_retalking.alignment import FACE_SIDE
from models.wav2lip.training import boxes_around
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.store import Store
from tasks.methods.vrt_coefficients import COEFFICIENTS, VRT_CUT, run_windows
from tasks.source.pictures import PIXEL_SHARD
from tasks.source.timeline import load_timeline
from tasks.training.dataset import Arrays, Blocks, Sample, resized

BLOCK_FRAMES = 256
"""Frames of a clip read at once."""
_LIPS = slice(48, 68)
"""Of iBUG's 68 points."""


class _Frames(Protocol):
    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...


Frames = TypeVar("Frames", bound=_Frames)


def face_blocks(
    parts: Iterable[tuple[Frames, NDArray[np.bool_]]], *, least: int
) -> list[tuple[Frames, NDArray[np.int64]]]:
    """What is read at once: for each stretch of a part its frames that have a face.

    Args:
        parts: Parts of clips, and for each of their frames whether there is a face.
        least: Faces of a block.
    """
    blocks = []
    for part, valid in parts:
        for start, stop in block_edges(
            part.start, part.stop, block=BLOCK_FRAMES, least=PIXEL_SHARD
        ):
            rows = start + np.flatnonzero(valid[start - part.start : stop - part.start])
            if len(rows) >= least:
                blocks.append((part, rows))
    return blocks


@dataclass(frozen=True)
class FacePart:
    """Frames [start, stop) of a clip.

    Attributes:
        row: In the index.
        cut: Key of the artifact `vrt_cut`.
        coefficients: Key of the artifact `coefficients`.
        timeline: Key of the artifact `timeline`.
        start: First frame.
        stop: Frame after the last.
    """

    row: int
    cut: str
    coefficients: str
    timeline: str
    start: int
    stop: int


class FacePairs(Blocks):
    """Stretches of clips, whose ticks are the frames that have a face.

    Args:
        parts: Of clips.
        store: URL of the store that holds them.
        side: Of the faces [px].
        stride: Frames from a sample of a clip to the next.

    Raises:
        ValueError: there are no two faces in any.
    """

    frames = 1
    references = 1

    def __init__(self, parts: Sequence[FacePart], store: str, *, side: int, stride: int) -> None:
        self._store_url, self._side, self.stride = store, side, stride
        seen = ((p, self._coefficients(p).read("valid", p.start, p.stop)) for p in parts)
        self._blocks = face_blocks(seen, least=2)
        if not self._blocks:
            raise ValueError("no clip has two frames with a face")
        self.ticks = np.array([len(rows) for _, rows in self._blocks], np.int64)

    def row(self, number: int) -> int:
        return self._blocks[number][0].row

    def fingerprint(self) -> str:
        blocks = [[p.cut, p.coefficients, r.tolist()] for p, r in self._blocks]
        told = {"side": self._side, "stride": self.stride, "blocks": blocks}
        return content_key({**told, "elsewhere": [STRETCHES, STRETCH_TICKS]})

    def __getitem__(self, number: int) -> Sample:
        return self.shown((number, 0, int(self.ticks[number])))

    def shown(self, stretch: Stretch) -> Sample:
        number, begin, end = stretch
        part, rows = self._blocks[number][0], self._blocks[number][1][begin:end]
        start, stop = int(rows[0]), int(rows[-1]) + 1
        coefficients = self._coefficients(part)
        clip = load_timeline(self._store.get("timeline", part.timeline))
        runs = valid_runs(coefficients.read("valid"), clip.scene_start)
        cut = self._store.get(VRT_CUT.kind, part.cut)
        faces = resized(cut.read("face", start, stop)[rows - start], self._side)
        lips = cut.read("landmarks", start, stop)[:, _LIPS]
        found = {
            "face": faces[..., ::-1].transpose(0, 3, 1, 2),
            "window": run_windows(coefficients, runs, start, stop),
            "mouth": boxes_around(lips[rows - start] / FACE_SIDE),
        }
        return {n: torch.from_numpy(np.ascontiguousarray(array)) for n, array in found.items()}

    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        sample = {name: array[start] for name, array in block.items()}
        return sample | {f"other_{name}": array[others[0]] for name, array in block.items()}

    @cached_property
    def _store(self) -> Store:
        return Store(self._store_url)

    def _coefficients(self, part: FacePart) -> Artifact:
        return self._store.get(COEFFICIENTS.kind, part.coefficients)
