"""Frames of one person streamed from `meta_talk_faces` into training, each with its window.

Batches follow from the seed and the epoch, and can be taken up anywhere. Their pictures are read
when they are asked for; the trainer asks a step ahead.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.faces.smooth import valid_runs
from models.meta_talk.lower_face import windows
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.store import Store
from tasks.source.timeline import load_timeline
from tasks.training.held_out import SHARE, held_out_from

Sample = dict[str, Tensor]
Rows = NDArray[np.int64]


class FaceFrames:
    """The frames of a clip that have a face, and what is read of them.

    Args:
        faces: A `meta_talk_faces`.
        window: Renders seen with each frame.

    Attributes:
        training: (frame,) rows to train on.
        held_out: (frame,) rows of the last part of the clip's time, whose renders training does
            not see either.
    """

    def __init__(self, faces: Artifact, window: int) -> None:
        self._faces = faces
        store = Store(faces.store_url)
        clip = load_timeline(store.get(*faces.manifest.inputs["timeline"]))
        first = int(np.searchsorted(clip.seconds, held_out_from(clip.seconds)))
        valid, cut = faces.read("valid"), clip.scene_start.copy()
        cut[first : first + 1] = True
        self._windows = windows(valid, cut, window)
        self._runs, self._seconds = valid_runs(valid, cut), clip.seconds
        rows = np.flatnonzero(valid)
        self.training, self.held_out = rows[rows < first], rows[rows >= first]
        self.key = content_key({"faces": faces.key, "window": window, "held_out": SHARE})

    def read(self, rows: Rows) -> Sample:
        """Pictures of some frames, uint8, channels first.

        Returns:
            `window` (frame, window, 3, side, side) RGB and `inside` (frame, window), whether there
            is such a frame; `photo` and `lent` (frame, 3, side, side) RGB; `mask` (frame, 1, side,
            side), 0 or 255.
        """
        around, faces = self._windows.row[rows], self._faces
        renders = faces.read_rows("render", around.ravel())
        found = {
            "window": renders.reshape(*around.shape, *renders.shape[1:]).transpose(0, 1, 4, 2, 3),
            "inside": self._windows.inside[rows],
            "photo": self.pictures("photo", rows),
            "lent": self.pictures("lent", rows),
            "mask": faces.read_rows("mask", rows)[:, None],
        }
        return {n: torch.from_numpy(np.ascontiguousarray(array)) for n, array in found.items()}

    def pictures(self, name: str, rows: Rows) -> NDArray[np.uint8]:
        """(frame, 3, side, side) uint8 RGB of some frames: of `photo`, `lent` or `render`."""
        return np.asarray(self._faces.read_rows(name, rows).transpose(0, 3, 1, 2))

    def nearest(self, rows: Rows) -> Rows:
        """For each frame that of the training whose render looks most like its own."""
        thumbnails = self._faces.read("thumbnail").reshape(self._faces.sizes["frame"], -1)
        bank = thumbnails[self.training].astype(np.float32)
        size = np.square(bank).sum(1)
        wanted = thumbnails[rows].astype(np.float32)
        return np.asarray(self.training[np.argmin(size - 2 * wanted @ bank.T, axis=1)])

    def told(self, rows: Rows) -> dict[str, float]:
        """Of a part, for the card."""
        whole = sum(bool(np.isin(start, rows)) for start, _ in self._runs)
        span = float(np.diff(self._seconds).mean()) if len(self._seconds) > 1 else 0.0
        return {"persons": 1, "parts": whole, "seconds": round(len(rows) * span, 1)}


class FrameLoader:
    """Batches of frames in a random order, epoch after epoch.

    Args:
        frames: Read from.
        batch_size: Frames.
        seed: With the epoch, decides the order.
        rank: Which share of the frames is this process's.
        world: Processes that train together; all get equally many batches.

    Raises:
        ValueError: there are fewer frames than a batch holds.
    """

    def __init__(
        self, frames: FaceFrames, *, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self._frames, self._batch_size, self._seed = frames, batch_size, seed
        self._rank, self._world = rank, world
        self._epoch, self._batch = 0, 0
        if not len(self):
            raise ValueError(
                f"{len(frames.training)} frames are no batch of {batch_size} for each of {world} "
                "processes; take smaller batches or a longer clip"
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._frames.training) // (self._batch_size * self._world)

    def __iter__(self) -> Iterator[Sample]:
        """The rest of the current epoch."""
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(self._frames.training)[self._rank :: self._world]
        for number in range(self._batch, len(self)):
            rows = order[number * self._batch_size :][: self._batch_size]
            self._batch = number + 1
            if self._batch == len(self):
                self._epoch, self._batch = self._epoch + 1, 0
            yield self._frames.read(rows)

    def state_dict(self) -> dict[str, Any]:
        """Where to go on: with the batch after the one that was given last. JSON."""
        return {
            "epoch": self._epoch,
            "batch": self._batch,
            "batch_size": self._batch_size,
            "seed": self._seed,
            "data": self._frames.key,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader of the same data stood.

        Raises:
            ValueError: the data, the seed or the batch size are not the same.
        """
        for name, value in self.state_dict().items():
            if name not in ("epoch", "batch") and state[name] != value:
                raise ValueError(
                    f"the position is of another loader: its {name} was {state[name]}, here it is "
                    f"{value}"
                )
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])


def held_out(frames: FaceFrames, *, batch_size: int, stride: int) -> Iterator[Sample]:
    """Every so many frames of the held-out part, in order.

    Beside what `FaceFrames.read` gives, `nearest` (frame, 3, side, side) is the photo of the
    training frame that is most like each.
    """
    rows = frames.held_out[::stride]
    nearest = frames.nearest(rows)
    for first in range(0, len(rows), batch_size):
        part = slice(first, first + batch_size)
        photos = torch.from_numpy(np.ascontiguousarray(frames.pictures("photo", nearest[part])))
        yield {**frames.read(rows[part]), "nearest": photos}
