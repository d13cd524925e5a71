"""Pairs of speech and expression streamed from the store into training.

    pairs = read_pairs(Path("pairs.json"), store)
    loader = WindowLoader(PairBlocks(parts, store.url, PairWindows()), batch_size=4)

A batch holds `feature` (B, frames + window - 1, step, band) and `inside` (same), which is false
beyond the ends of the speech; `delta` (B, frames, 64), `valid` (B, frames) and `row` (B,) of the
list of pairs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.store import Store
from stores.errors import InputError, StoreError
from stores.whole_files import replacing
from tasks.methods.expression_pairs import EXPRESSION_PAIRS
from tasks.training.dataset import Arrays, Blocks, Sample

HELD_OUT = 0.2
"""Share of the speakers, or of each speech's time, that nothing is learned from."""
BLOCK_TICKS = 750
"""Ticks read at once: 30 s."""

HeldOut = Literal["speaker", "time"]


class PairIndex(BaseModel):
    """A list of pairs to train on, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: list[str] = Field(min_length=1, description="keys of artifacts `expression_pairs`")


class PairWindows(BaseModel):
    """What a sample holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int = Field(1, ge=1, description="consecutive ticks whose expression is predicted")
    stride: int = Field(1, ge=1, description="ticks from a sample to the next")
    window: int = Field(7, ge=1, description="ticks seen for one prediction")


@dataclass(frozen=True)
class Part:
    """Ticks [start, stop) of the pairs of one speech.

    Attributes:
        row: In the list of pairs.
        key: Of the artifact `expression_pairs`.
        speaker: Who speaks.
    """

    row: int
    key: str
    speaker: str
    start: int
    stop: int


def write_pairs(path: Path, pairs: Sequence[Artifact]) -> None:
    """Write a list of pairs for `read_pairs`."""
    index = PairIndex(pairs=[pair.key for pair in pairs])
    with replacing(path) as beside:
        beside.write_text(index.model_dump_json(indent=1) + "\n")


def read_pairs(path: Path, store: Store) -> list[Artifact]:
    """The pairs of a list.

    Raises:
        InputError: it is no such list, or the store lacks some.
    """
    try:
        index = PairIndex.model_validate_json(path.read_bytes())
        return [store.get(EXPRESSION_PAIRS.kind, key) for key in index.pairs]
    except (OSError, ValidationError):
        raise InputError(f"{path} is no list of pairs of speech and expression") from None
    except StoreError as error:
        raise InputError(f"{path}: {error}; make the pairs again") from None


def split(pairs: Sequence[Artifact], held_out: HeldOut) -> tuple[list[Part], list[Part]]:
    """What is trained on, and what is only judged by.

    Args:
        pairs: Of `read_pairs`.
        held_out: A fifth of the speakers, or the last fifth of each speech. Where foreign speech is
            learned from beside the person's own, a fifth of the foreign speakers.

    Raises:
        InputError: there is one such speaker only, who can't be held out.
    """
    whole = [
        Part(row, pair.key, pair.attributes["speaker"], 0, pair.sizes["tick"])
        for row, pair in enumerate(pairs)
    ]
    if held_out == "time":
        cuts = [round(part.stop * (1 - HELD_OUT)) for part in whole]
        parts = list(zip(whole, cuts, strict=True))
        return (
            [Part(p.row, p.key, p.speaker, 0, cut) for p, cut in parts],
            [Part(p.row, p.key, p.speaker, cut, p.stop) for p, cut in parts],
        )
    foreign = {pair.attributes["speaker"] for pair in pairs if pair.attributes["labels"] != "real"}
    speakers = sorted(foreign or {part.speaker for part in whole}, key=_drawn)
    if len(speakers) < 2:
        raise InputError(
            f"all pairs are of the speaker {speakers[0]}: none can be held out; "
            "set held_out=time, or train on more speakers"
        )
    judged = set(speakers[: max(1, round(HELD_OUT * len(speakers)))])
    return (
        [part for part in whole if part.speaker not in judged],
        [part for part in whole if part.speaker in judged],
    )


def _drawn(speaker: str) -> bytes:
    """An order of speakers that is none of their names'."""
    return hashlib.sha256(speaker.encode()).digest()


class PairBlocks(Blocks):
    """Stretches of pairs.

    Args:
        parts: Of `split`.
        store: URL of the store that holds them.
        settings: What a sample holds.

    Raises:
        ValueError: none is as long as a sample.
    """

    def __init__(self, parts: Sequence[Part], store: str, settings: PairWindows) -> None:
        self._store_url, self._settings = store, settings
        self.frames, self.stride = settings.frames, settings.stride
        block = max(BLOCK_TICKS // settings.frames, 1) * settings.frames
        self._blocks = [
            Part(part.row, part.key, part.speaker, start, min(start + block, part.stop))
            for part in parts
            for start in range(part.start, part.stop, block)
            if min(start + block, part.stop) - start >= settings.frames
        ]
        if not self._blocks:
            raise ValueError(f"no speech is as long as a sample of {settings.frames} ticks")
        self.ticks = np.array([block.stop - block.start for block in self._blocks], np.int64)

    def row(self, number: int) -> int:
        return self._blocks[number].row

    def fingerprint(self) -> str:
        blocks = [[block.key, block.start, block.stop] for block in self._blocks]
        return content_key({"settings": self._settings.model_dump(), "blocks": blocks})

    def __getitem__(self, number: int) -> Sample:
        block, half = self._blocks[number], self._settings.window // 2
        pair, feature = self._read(block)
        total = pair.sizes["tick"]
        first, last = max(block.start - half, 0), min(block.stop + half, total)
        missing = (first - block.start + half, block.stop + half - last)
        heard = feature.read("feature", first, last)
        found = {
            "feature": np.pad(heard, (missing, (0, 0), (0, 0))),
            "inside": np.pad(np.ones(last - first, bool), missing),
            "delta": pair.read("delta", block.start, block.stop),
            "valid": pair.read("valid", block.start, block.stop),
        }
        return {name: torch.from_numpy(array) for name, array in found.items()}

    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        seen = slice(start, start + self.frames + self._settings.window - 1)
        shown = slice(start, start + self.frames)
        return {
            "feature": block["feature"][seen].astype(np.float32),
            "inside": block["inside"][seen],
            "delta": block["delta"][shown],
            "valid": block["valid"][shown],
        }

    def _read(self, block: Part) -> tuple[Artifact, Artifact]:
        pair = self._store.get(EXPRESSION_PAIRS.kind, block.key)
        return pair, self._store.get(*pair.manifest.inputs["features"])

    @cached_property
    def _store(self) -> Store:
        return Store(self._store_url)

    def statistics(self) -> dict[str, Tensor]:
        """Mean and spread of each band and of each coefficient that is known, over all ticks."""
        heard, known = _Sums(), _Sums()
        for block in self._blocks:
            pair, feature = self._read(block)
            windows = feature.read("feature", block.start, block.stop)
            heard.add(windows[:, windows.shape[1] // 2])  # each moment once: windows overlap
            valid = pair.read("valid", block.start, block.stop)
            known.add(pair.read("delta", block.start, block.stop)[valid])
        return {
            "band_mean": heard.mean,
            "band_spread": heard.spread,
            "delta_mean": known.mean,
            "delta_spread": known.spread,
        }


class _Sums:
    """Sums over rows, and what follows from them."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum: NDArray[np.float64] | float = 0.0
        self._squares: NDArray[np.float64] | float = 0.0

    def add(self, rows: NDArray[Any]) -> None:
        wide = rows.astype(np.float64)
        self._rows += len(wide)
        self._sum = self._sum + wide.sum(0)
        self._squares = self._squares + (wide**2).sum(0)

    @property
    def mean(self) -> Tensor:
        return torch.as_tensor(self._sum / max(self._rows, 1)).float()

    @property
    def spread(self) -> Tensor:
        mean = self._sum / max(self._rows, 1)
        variance = self._squares / max(self._rows, 1) - mean**2
        return torch.as_tensor(np.sqrt(np.maximum(variance, 1e-6))).float()
