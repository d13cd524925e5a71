"""Prepared data streamed from the store into training: windows of speech, landmarks and faces.

    segments = read_segments(Path("lrs2.parquet"), splits=["train"])
    blocks = BlockDataset(segments, store, WindowSettings())
    loader = WindowLoader(blocks, batch_size=32, seed=0, workers=4)
    for batch in loader:            # one epoch; the next `for` is the next epoch
        ...
        state = loader.state_dict() # goes on with the very next batch, in any other process

Workers read whole blocks, each once an epoch, and with them a few stretches of the rest of their
clips; this process mixes several blocks and cuts the windows out of them. The order follows from
the seed and the epoch, and from nothing else: not from the number of workers.
"""

import multiprocessing
import signal
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.context import BaseContext
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from models.audio.mel import COLUMNS_PER_SECOND, MAX_ABS, N_MELS
from models.faces.crop.crop import to_crop
from models.sampling.windows import (
    STRETCH_TICKS,
    STRETCHES,
    Epoch,
    Stretch,
    WindowOrder,
    block_edges,
)
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from stores.media.facts import VideoFacts
from tasks.inference.threads import one_thread
from tasks.source.pictures import PIXEL_SHARD

Sample = dict[str, Tensor]
Arrays = dict[str, NDArray[Any]]


class WindowSettings(BaseModel):
    """What a sample holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(25.0, gt=0, description="the model's clock: frames a second")
    frames: int = Field(5, ge=1, description="consecutive frames of a window")
    stride: int = Field(5, ge=1, description="frames from a window to the next")
    references: int = Field(15, ge=0, description="other frames of the same part, at random")
    reference_frames: int = Field(
        1,
        ge=1,
        description="consecutive frames of each reference; if more than one, parts must have room "
        "for them beside a window",
    )
    mel_columns: int = Field(16, ge=1, description="mel columns (1/80 s) that belong to a frame")
    mel_start_seconds: float = Field(
        0.0, description="where they begin, from the frame's time on [s]"
    )
    sure_lag: float | None = Field(
        0.8,
        ge=0,
        le=1,
        description="take the lag of sound and picture out where it is this likely to be right; "
        "none: never",
    )
    points: tuple[int, ...] | None = Field(
        None, description="landmarks of the face mesh, in this order; none: all 478"
    )
    face_px: int | None = Field(
        128, ge=16, le=1024, description="side of the faces; none: no pictures [px]"
    )
    faces: Literal["all", "middle"] = Field(
        "all", description="frames of a window whose faces a sample holds; references have theirs"
    )
    block_frames: int = Field(
        256,
        ge=PIXEL_SHARD,
        multiple_of=PIXEL_SHARD,
        description="frames of a clip read at once; a window lies in one block",
    )


@dataclass(frozen=True)
class Block:
    """Frames [start, stop) of a segment, shown in so many ticks."""

    segment: ClipPart
    start: int
    stop: int
    ticks: int


class Blocks(Dataset[Sample]):
    """Stretches of data by number, each read at once, out of which windows are cut.

    Attributes:
        ticks: (block,) length of each, at least that of a window.
        frames: Ticks of a window.
        stride: Ticks from a window to the next.
        references: Other ticks of the clip, at random, that come with a window.
        reference_frames: Ticks that follow one another in each reference.
    """

    ticks: NDArray[np.int64]
    frames: int
    stride: int
    references: int = 0
    reference_frames: int = 1

    def __len__(self) -> int:
        return len(self.ticks)

    @abstractmethod
    def row(self, number: int) -> int:
        """Number of the clip that a block is a part of."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Key of all that decides what the blocks hold."""

    @abstractmethod
    def __getitem__(self, number: int) -> Sample:
        """Read one block.

        Raises:
            StoreError: an artifact is gone or damaged.
        """

    def shown(self, stretch: Stretch) -> Sample:
        """Those arrays of a block that references need, of some ticks; where there are any."""
        raise NotImplementedError

    @abstractmethod
    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        """The window of a block that begins at a tick, with its references.

        Args:
            block: Of `__getitem__`; what references need may go on with ticks of other blocks.
            start: First tick of the window.
            others: (references * reference_frames,) ticks outside the window.
        """


class BlockDataset(Blocks):
    """Blocks of prepared clips by number. Each is read from the store when it is asked for.

    A block's arrays, on the model's clock: `landmarks` (tick, point, 3) in shares of the face
    crop's side; `mouth` (tick, 57, 3) canonical [face heights]; `face` (tick, 3, side, side) uint8
    RGB; `mel` (column, 80) and `mel_first` (tick,), the column that a frame's window begins with.
    """

    def __init__(self, segments: Sequence[ClipPart], store: str, settings: WindowSettings) -> None:
        self._store_url = store
        self._settings = settings
        self.frames, self.stride = settings.frames, settings.stride
        self.references = settings.references
        self.reference_frames = settings.reference_frames
        self._blocks = [b for segment in segments for b in _blocks(segment, settings)]
        if not self._blocks:
            raise ValueError(
                f"no part is as long as a window of {settings.frames} frames and what it is shown "
                f"with; there are "
                f"{len(segments)} parts"
            )

        self.ticks = np.array([block.ticks for block in self._blocks], np.int64)

    def row(self, number: int) -> int:
        return self._blocks[number].segment.row  # of the index

    def fingerprint(self) -> str:
        return content_key(
            {
                "settings": self._settings.model_dump(mode="json"),
                "blocks": [
                    [b.start, b.stop, b.segment.keys["mel"], b.segment.keys["face_crops"]]
                    for b in self._blocks
                ],
                "elsewhere": [STRETCHES, STRETCH_TICKS],
            }
        )

    def cut(self, block: Arrays, start: int, others: NDArray[np.int64]) -> Arrays:
        return cut_sample(block, start, others, self._settings)

    def __getitem__(self, number: int) -> Sample:
        block, settings = self._blocks[number], self._settings
        times, rows = self._clock(block)
        mel, first = self._sound(block, times - self.lag(block) + settings.mel_start_seconds)
        heard = {"mel": torch.from_numpy(mel), "mel_first": torch.from_numpy(first)}
        return {**self._shown(block, rows), **heard}

    def shown(self, stretch: Stretch) -> Sample:
        number, begin, end = stretch
        block = self._blocks[number]
        return self._shown(block, self._clock(block)[1][begin:end])

    def _shown(self, block: Block, rows: NDArray[np.int64]) -> Sample:
        settings, first = self._settings, int(rows[0])
        start, stop = block.start + first, block.start + int(rows[-1]) + 1
        rows = rows - first
        crops = self._artifact(block, "face_crops")
        landmarks = self._artifact(block, "landmarks")
        points = landmarks.read("landmarks", start, stop)
        if settings.points is not None:
            points = points[:, list(settings.points)]
        placed = to_crop(points, crops.read("transform", start, stop))
        found = {
            "landmarks": (placed / np.float32(crops.sizes["y"]))[rows],
            "mouth": landmarks.read("mouth", start, stop)[rows],
        }
        if settings.face_px is not None:
            faces = resized(crops.read("face", start, stop), settings.face_px)
            found["face"] = faces[rows].transpose(0, 3, 1, 2)
        return {n: torch.from_numpy(np.ascontiguousarray(array)) for n, array in found.items()}

    def lag(self, block: Block) -> float:
        """How much later the picture is than the sound, as far as that is sure [s]."""
        sure, part = self._settings.sure_lag, block.segment
        return 0.0 if sure is None or part.lag_confidence < sure else part.lag_seconds

    @cached_property
    def _store(self) -> Store:
        return Store(self._store_url)

    def _artifact(self, block: Block, kind: str) -> Artifact:
        return self._store.get(kind, block.segment.keys[kind])

    def _clock(self, block: Block) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Times (tick,) [s], and the nearest frame to each, counted from the block's first.

        The ticks are laid evenly over the block's own time, so that a variable frame rate neither
        shifts sound against picture nor changes their number.
        """
        timeline = self._artifact(block, "timeline")
        facts = VideoFacts.from_dict(timeline.attributes["video"])
        pts = timeline.read("pts", block.start, block.stop + 1)
        seconds = pts.astype(np.float64) * float(facts.time_base)
        if len(pts) == block.stop - block.start:  # the clip ends with this block
            end = timeline.attributes["end_pts"] * float(facts.time_base)
            seconds = np.append(seconds, end)
        span = seconds[-1] - seconds[0]
        times = seconds[0] + np.arange(block.ticks) * (span / block.ticks)
        after = np.clip(np.searchsorted(seconds[:-1], times), 1, max(len(seconds) - 2, 1))
        nearer = times - seconds[after - 1] <= seconds[after] - times
        return times, np.where(nearer, after - 1, after)

    def _sound(
        self, block: Block, times: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mel columns (column, 80) around the block, silence beyond the sound's ends."""
        mel = self._artifact(block, "mel")
        first = np.floor(times * COLUMNS_PER_SECOND + 1e-6).astype(np.int64)
        low, high = int(first.min()), int(first.max()) + self._settings.mel_columns
        total = mel.sizes["column"]
        inside = mel.read("mel", min(max(low, 0), total), min(max(high, 0), total))
        columns = np.full((high - low, N_MELS), -MAX_ABS, np.float32)
        offset = max(-low, 0)
        columns[offset : offset + len(inside)] = inside
        return columns, first - low


class WindowLoader:
    """Batches of windows, epoch after epoch, in an order that can be taken up anywhere.

    A batch holds, for each of its samples, what `Blocks.cut` gives, and `row` (B,), its number. Of
    a `BlockDataset` that is `mel` (B, frames, 1, 80, mel_columns), `landmarks` (B,
    frames, point, 3), `mouth` (B, frames, 57, 3), `face` (B, frames or 1, 3, side, side) uint8 RGB;
    `reference_landmarks` and `reference_face`, the same of other frames; `row` of the index.

    Args:
        blocks: What windows are cut out of.
        batch_size: Samples.
        seed: With the epoch, decides the order.
        shuffle: False: in the index's order, for validation; the last batch may be smaller.
        mixed_blocks: Blocks whose windows are mixed; all of them are in memory.
        workers: Processes that read blocks; 0 reads in this one.
        rank: Which share of the blocks is this process's.
        world: Processes that train together; all get equally many batches.
    """

    def __init__(
        self,
        blocks: Blocks,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        mixed_blocks: int = 16,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._blocks = blocks
        clips = np.array([blocks.row(number) for number in range(len(blocks))], np.int64)
        windows = blocks.ticks, clips, blocks.frames, blocks.stride
        self._order = WindowOrder(*windows, mixed_blocks, seed, shuffle, rank=rank, world=world)
        self._batch_size, self._whole_batches = batch_size, shuffle
        self._epoch, self._batch = 0, 0
        self._reads = _Reads()
        self._reader: DataLoader[Sample] = DataLoader(
            _Read(self._blocks),
            batch_size=None,
            sampler=self._reads,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=_processes() if workers else None,
            worker_init_fn=_begin_worker,
            # Else each epoch draws a seed from everyone's generator, in a thread that reads ahead
            # of the training: at a moment that differs from run to run.
            generator=torch.Generator(),
        )
        if not len(self):
            raise ValueError(
                f"{self._order.least_windows(0)} windows are no batch of {batch_size}; prepare "
                "more, loosen the filters, or take smaller batches"
            )

    def __len__(self) -> int:
        """Batches in the current epoch, from its start."""
        return self._batches(self._epoch)

    @property
    def epoch(self) -> int:
        """Epoch of the next batch."""
        return self._epoch

    def state_dict(self) -> dict[str, Any]:
        """Where to go on: with the batch after the one that was given last. JSON."""
        return {
            "epoch": self._epoch,
            "batch": self._batch,
            "batch_size": self._batch_size,
            "seed": self._order.seed,
            "data": self._blocks.fingerprint(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader of the same data stood.

        Raises:
            ValueError: the data, the settings, the seed or the batch size are not the same.
        """
        for name, value in self.state_dict().items():
            if name not in ("epoch", "batch") and state[name] != value:
                raise ValueError(
                    f"the position is of another loader: its {name} was {state[name]}, here it is "
                    f"{value}"
                )
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])

    def __iter__(self) -> Iterator[Sample]:
        """The rest of the current epoch."""
        epoch, total = self._order.epoch(self._epoch), len(self)
        if not total:  # its windows, which begin elsewhere each time, are no batch
            self._epoch, self._batch = self._epoch + 1, 0
            return
        group, skipped = epoch.find(self._batch * self._batch_size)
        numbers = [int(block) for blocks in epoch.groups[group:] for block in blocks]
        alone = self._blocks.references == 0
        beside = {b: [] if alone else self._order.elsewhere(epoch, b) for b in numbers}
        self._reads.order = list(beside.items())
        blocks = iter(self._reader)
        given, waiting = self._batch, list[Arrays]()
        for number in range(group, len(epoch.groups)):
            read = [_arrays(next(blocks)) for _ in epoch.groups[number]]
            for place, start in self._order.in_group(epoch, number)[skipped:]:
                block = int(epoch.groups[number][place])
                others = self._others(epoch, block, start, beside[block])
                sample = self._blocks.cut(read[place], start, others)
                waiting.append({**sample, "row": np.array(self._blocks.row(block))})
                if len(waiting) == self._batch_size:
                    given += 1
                    yield self._give(waiting, given, total)
                    waiting = []
                if given == total:
                    return
            skipped = 0
        if waiting:
            yield self._give(waiting, given + 1, total)

    def _batches(self, epoch: int) -> int:
        windows = self._order.least_windows(epoch)
        whole, rest = divmod(windows, self._batch_size)
        return whole + (rest > 0 and not self._whole_batches)

    def _give(self, samples: list[Arrays], given: int, total: int) -> Sample:
        """The next batch; the position moves on before it is handed out."""
        self._batch = given
        if given == total:
            self._epoch, self._batch = self._epoch + 1, 0
        stacked = {name: np.stack([s[name] for s in samples]) for name in samples[0]}
        return {name: torch.from_numpy(array) for name, array in stacked.items()}

    def _others(
        self, epoch: Epoch, block: int, start: int, stretches: Sequence[Stretch]
    ) -> NDArray[np.int64]:
        length, window = self._blocks.reference_frames, (block, start, self._blocks.references)
        first = self._order.others(epoch, *window, length=length, stretches=stretches)
        found: NDArray[np.int64] = (first[:, None] + np.arange(length)).ravel()
        return found


def cut_sample(
    block: Arrays, start: int, others: NDArray[np.int64], settings: WindowSettings
) -> Arrays:
    """The window of a block that begins at a tick, and reference ticks (n,).

    Args:
        block: What `BlockDataset` gives, with the stretches that references are from.
        start: First tick of the window.
        others: The reference ticks.
        settings: What is in a window.
    """
    window = slice(start, start + settings.frames)
    columns = block["mel_first"][window, None] + np.arange(settings.mel_columns)
    sample = {
        "mel": block["mel"][columns].transpose(0, 2, 1)[:, None],
        "landmarks": block["landmarks"][window],
        "mouth": block["mouth"][window],
        "reference_landmarks": block["landmarks"][others],
    }
    if "face" in block:
        middle = start + settings.frames // 2
        shown = slice(middle, middle + 1) if settings.faces == "middle" else window
        sample["face"] = block["face"][shown]
        sample["reference_face"] = block["face"][others]
    return sample


class _Reads(Sampler[tuple[int, list[Stretch]]]):
    """Numbers of the blocks that are still to be read, in order, with what is read beside them."""

    def __init__(self) -> None:
        self.order: list[tuple[int, list[Stretch]]] = []

    def __iter__(self) -> Iterator[tuple[int, list[Stretch]]]:
        return iter(list(self.order))

    def __len__(self) -> int:
        return len(self.order)


class _Read(Dataset[Sample]):
    """Blocks, each with the stretches of other blocks behind its ticks."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, wanted: tuple[int, list[Stretch]]) -> Sample:
        number, stretches = wanted
        block = self._blocks[number]
        if not stretches:
            return block
        more = [self._blocks.shown(stretch) for stretch in stretches]
        return block | {n: torch.cat([block[n], *(each[n] for each in more)]) for n in more[0]}


def _arrays(block: Sample) -> Arrays:
    """The same memory for NumPy, whose indexing starts no threads."""
    return {name: tensor.numpy() for name, tensor in block.items()}


def _blocks(segment: ClipPart, settings: WindowSettings) -> Iterator[Block]:
    """A segment's blocks that hold a window; no shard of pictures is in two of them."""
    fps = (segment.stop - segment.start) / segment.seconds
    edges = block_edges(segment.start, segment.stop, block=settings.block_frames, least=PIXEL_SHARD)
    for start, stop in edges:
        ticks = int((stop - start) / fps * settings.rate + 1e-6)
        beside = settings.reference_frames if settings.reference_frames > 1 else 0
        if ticks >= settings.frames + beside:
            yield Block(segment, start, stop, ticks)


def resized(faces: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(frame, h, w, 3) uint8 → (frame, side, side, 3); averaged where it shrinks."""
    if faces.shape[1] == side:
        return faces
    how = cv2.INTER_AREA if faces.shape[1] > side else cv2.INTER_CUBIC
    out = np.empty((len(faces), side, side, 3), np.uint8)
    for face, smaller in zip(faces, out, strict=True):
        cv2.resize(face, (side, side), dst=smaller, interpolation=how)
    return out


def _processes() -> BaseContext:
    """New processes come from one that has imported what they need, and nothing of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin_worker(number: int) -> None:
    """In a new reading process: libraries shall not start threads of their own.

    Ctrl-C reaches all processes of a terminal; this one ends with the one that it reads for, which
    may want to go on for a moment.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    one_thread()
