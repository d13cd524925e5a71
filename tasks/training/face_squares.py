"""Windows of aligned faces and of what is heard, streamed from the store into training.

A batch holds of each window, 25 ticks a second: `face` (B, frames, 3, side, side) uint8 RGB, at
the ticks of `shown`, with `points` (B, frames, 68, 2) iBUG's points [px of the square]; `cepstra`
(B, ticks, 20, 12) and `unit` (B, ticks) of all its ticks; `betrayed_face` (B, classified, 3, side,
side), consecutive ones from its middle or some of all of the clip, with `betrayed_class` (B,
classified), their unit or how far their mouth is open; `reference_face` (B, references, 3, side,
side), others of the same clip; `word` and `person` (B,) by number; and `row` (B,) of the index.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.face_basis.own import LANDMARKS
from models.sampling.windows import STRETCH_TICKS, STRETCHES
from models.stylegan2_face.alignment import placed
from models.stylegan2_face.settings import Side
from models.stylegan2_face.speech import STEPS, first_steps, windows
from models.stylegan2_face.units import nearest
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.dataset_index import ClipPart
from tasks.training.dataset import (
    Arrays,
    Block,
    BlockDataset,
    Sample,
    WindowSettings,
    resized,
)

SQUARES, CEPSTRA = "face_squares", "cepstra"
"""Kinds of a part's keys that an index does not hold."""
OPENINGS = 8
"""Classes of how far a mouth is open, each as frequent in the training."""
_INNER_LIPS = (62, 66)
"""Of iBUG's 68 points, the middle ones."""


class SquareWindows(BaseModel):
    """What a sample holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: Side
    frames: int = Field(ge=1, description="faces of a window")
    spacing: int = Field(default=1, ge=1, description="ticks from one to the next")
    stride: int = Field(ge=1, description="ticks from a window to the next")
    references: int = Field(default=1, ge=0, description="other faces of the clip, at random")
    classified: int = Field(
        default=0,
        ge=0,
        description="consecutive faces from the window's middle",
    )
    spread: bool = Field(default=False, description="these are from all of the clip instead")
    sound: bool = Field(default=True, description="what is heard comes with it")

    @property
    def ticks(self) -> int:
        """Of a window: 25 for 12 faces of every second tick."""
        return max(self.frames * self.spacing + (self.spacing > 1), self.classified)

    @property
    def shown(self) -> list[int]:
        """The ticks whose faces are shown."""
        return [self.spacing // 2 + self.spacing * n for n in range(self.frames)]


class SquareBlocks(BlockDataset):
    """Stretches of clips whose faces were laid into squares.

    Args:
        parts: Of clips, with the keys of SQUARES and CEPSTRA (kind/KEY).
        store: URL of the store that holds them.
        settings: What a sample holds.
        units: (unit, 240) centres of units of speech, of `models.stylegan2_face.units`; None: all
            is unit 0.
        opened: (OPENINGS - 1,) of `opening_bounds`: faces that may betray something are classed by
            their opening; None: by their unit.
        words: Number of each word, by row of the index.
        persons: Number of each person.
    """

    def __init__(
        self,
        parts: Sequence[ClipPart],
        store: str,
        settings: SquareWindows,
        *,
        units: NDArray[np.float32] | None = None,
        opened: NDArray[np.float32] | None = None,
        words: Mapping[int, int] | None = None,
        persons: Mapping[str, int] | None = None,
    ) -> None:
        given = {"frames": settings.ticks, "stride": settings.stride}
        others = {"references": settings.references, "face_px": None}
        super().__init__(parts, store, WindowSettings.model_validate({**given, **others}))
        self._squares, self._units, self._opened = settings, units, opened
        self._words, self._persons = dict(words or {}), dict(persons or {})

    def fingerprint(self) -> str:
        kinds = (SQUARES, CEPSTRA) if self._squares.sound else (SQUARES,)
        blocks = [[b.start, b.stop, *(b.segment.keys[k] for k in kinds)] for b in self._blocks]
        units, opened = (None if a is None else a.tolist() for a in (self._units, self._opened))
        given = self._squares.model_dump(mode="json")
        labels = [sorted(self._words.items()), sorted(self._persons.items())]
        told = {"settings": given, "blocks": blocks, "units": units, "labels": labels}
        if opened is not None:
            told["opened"] = opened
        return content_key({**told, "elsewhere": [STRETCHES, STRETCH_TICKS]})

    def __getitem__(self, number: int) -> Sample:
        block = self._blocks[number]
        times, rows = self._clock(block)
        found: Arrays = {"points": self._points(block)[rows]}
        found["word"] = np.array([self._words.get(block.segment.row, 0)])
        found["person"] = np.array([self._persons.get(block.segment.person, 0)])
        if self._squares.sound:
            found["cepstra"] = self.heard(block, times)
            found["unit"] = np.zeros(len(times), np.int64)
            if self._units is not None:
                found["unit"] = nearest(found["cepstra"], self._units)
            found["class"] = found["unit"]
        if self._opened is not None:
            found["class"] = np.searchsorted(self._opened, deviations(found["points"]))
        rest = {n: torch.from_numpy(np.ascontiguousarray(array)) for n, array in found.items()}
        return rest | self._shown(block, rows)

    def _points(self, block: Block) -> NDArray[np.float32]:
        """iBUG's points (frame, 68, 2) of a block's frames [px of the square]."""
        squares, read = self._kept(block), (block.start, block.stop)
        meshes = self._artifact(block, "landmarks").read("landmarks", *read)
        points = placed(meshes[:, list(LANDMARKS), :2], squares.read("transform", *read))
        return np.asarray(points * np.float32(self._squares.side / squares.sizes["x"]))

    def _shown(self, block: Block, rows: NDArray[np.int64]) -> Sample:
        first = int(rows[0])
        faces = self._kept(block).read("face", block.start + first, block.start + int(rows[-1]) + 1)
        chosen = resized(faces, self._squares.side)[rows - first].transpose(0, 3, 1, 2)
        return {"face": torch.from_numpy(np.ascontiguousarray(chosen))}

    def _kept(self, block: Block) -> Artifact:
        return self._store.get(SQUARES, block.segment.keys[SQUARES])

    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        own = self._squares
        shown = start + np.array(own.shown)
        middle = start + (own.ticks - own.classified) // 2
        betrayed = middle + np.arange(own.classified)
        if own.spread and own.classified:
            total = len(block["points"])
            betrayed = (start + np.arange(own.classified) * total // own.classified) % total
        sample = {name: block[name][shown] for name in ("face", "points")}
        sample |= {"reference_face": block["face"][others]}
        sample |= {name: block[name][0] for name in ("word", "person")}
        if own.classified:
            sample["betrayed_face"] = block["face"][betrayed]
        if own.sound:
            window = slice(start, start + own.ticks)
            sample |= {name: block[name][window] for name in ("cepstra", "unit")}
            sample |= {"betrayed_class": block["class"][betrayed]}
        return sample

    def heard(self, block: Block, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """Windows of cepstra (tick, 20, 12) about times on the picture's clock [s]."""
        kind, _, key = block.segment.keys[CEPSTRA].partition("/")
        steps = self._store.get(kind, key)
        first = first_steps(times - self.lag(block))
        total = steps.sizes["step"]
        low, high = (int(np.clip(n, 0, total)) for n in (first.min(), first.max() + STEPS))
        return windows(steps.read("mfcc", low, high), first - low)

    def all_heard(self) -> NDArray[np.float32]:
        """Windows (tick, 20, 12) of all blocks."""
        found = [self.heard(block, self._clock(block)[0]) for block in self._blocks]
        return np.concatenate(found)

    def opening_bounds(self) -> NDArray[np.float32]:
        """(OPENINGS - 1,) of the classes that mouths fall into by `deviations` [px]."""
        found = np.concatenate([deviations(self._points(block)) for block in self._blocks])
        shares = np.arange(1, OPENINGS) / OPENINGS
        return np.asarray(np.quantile(found, shares), np.float32)


def deviations(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much a mouth is wider open than the clip's on average.

    Args:
        points: iBUG's (tick, 68, 2), of which the middle ones of the inner lips tell.

    Returns:
        (tick,), in the points' unit.
    """
    upper, lower = (points[:, n] for n in _INNER_LIPS)
    opened = np.linalg.norm(upper - lower, axis=1)
    return np.asarray(opened - opened.mean(), np.float32)
