"""What stands around an artifact: what it was made of, its video, and what its runs made of it."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from stores.media.frame import Frame
from stores.media.read import read_frames
from stores.media.timeline import Timeline
from stores.runs import RunRecord, recorded_runs
from viewer.composed import Composed

Image = NDArray[np.uint8]
_SIDE_PX = 1280
"""Frames are drawn no larger."""


class Lineage:
    """An artifact and its surroundings, read as they are needed."""

    def __init__(self, store: Store, artifact: Artifact) -> None:
        self.store, self.artifact = store, artifact

    @cached_property
    def made_of(self) -> dict[str, Artifact]:
        """Artifacts by kind, the nearest first; the artifact itself among them."""
        found = {self.artifact.kind: self.artifact}
        waiting = [self.artifact]
        for each in waiting:  # grows
            for kind, key in each.manifest.inputs.values():
                below = None if kind in ("source", "file") else self.store.find(kind, key)
                if below is not None and kind not in found:
                    found[kind] = below
                    waiting.append(below)
        return found

    def need(self, kind: str) -> Artifact:
        """The nearest of that kind that it was made of.

        Raises:
            StoreError: it was made of none, or that is no longer there.
        """
        found = self.made_of.get(kind)
        return found if found is not None else self.store.get(kind, "")

    @cached_property
    def _runs(self) -> list[RunRecord]:
        item = (self.artifact.kind, self.artifact.key)
        timeline = self.made_of.get("timeline")
        items = {item} if timeline is None else {item, ("timeline", timeline.key)}
        found = [run for run in recorded_runs(self.store) if items & set(run.artifacts)]
        return sorted(found, key=lambda run: item in run.artifacts)

    def user(self, kind: str) -> Artifact | None:
        """The newest of that kind that a run made of it directly."""
        item = (self.artifact.kind, self.artifact.key)
        for run in reversed(self._runs):
            for each in run.artifacts:
                found = self.store.find(*each) if each[0] == kind else None
                if found is not None and item in found.manifest.inputs.values():
                    return found
        return None

    @cached_property
    def clip(self) -> Timeline:
        """The source's frames."""
        found = self.need("timeline")
        names = ("pts", "decoded_pts", "keyframe", "scene_start")
        return Timeline.from_record({name: found.read(name) for name in names}, found.attributes)

    @cached_property
    def video(self) -> Path | None:
        """The source's file, where a run left it; None if it is gone, or is another one by now."""
        wanted = self.need("timeline").manifest.inputs["video"][1]
        for run in reversed(self._runs):
            path = Path(str(run.settings.get("video", "")))
            try:
                if path.is_file() and Source.known(path).key == wanted:
                    return path
            except DubflowError:
                continue
        return None

    def frames(self, rows: Sequence[int]) -> Iterator[Frame | None]:
        """The source's frames, in any order; None for each if the file is gone."""
        path = self.video
        if path is None:
            yield from (None for _ in rows)
        elif len(rows) > 1 and list(rows) == list(range(rows[0], rows[-1] + 1)):
            yield from read_frames(path, self.clip, rows[0], rows[-1] + 1)
        else:
            for row in rows:
                yield from read_frames(path, self.clip, row, row + 1)

    def pictures(self, rows: Sequence[int]) -> Iterator[tuple[Image, float]]:
        """The source's frames as pictures, black if the file is gone; and px of theirs per its."""
        video = self.clip.video
        for frame in self.frames(rows):
            if frame is None:
                scale = min(1.0, _SIDE_PX / max(video.width, video.height))
                size = (round(video.height * scale), round(video.width * scale), 3)
                yield np.zeros(size, np.uint8), scale
            else:
                picture = frame.rgb(_SIDE_PX)
                yield picture, picture.shape[1] / video.width

    def composed(self, rows: Sequence[int]) -> Iterator[Image]:
        """Frames of a `composite` in the order of their rows."""
        composite = self.need("composite")
        ticks = self.need("output_frames").read("pts")
        video = Composed(composite, self.clip.video, ticks)
        frames = video.frames(rows[0] if rows else 0)
        for row in rows:
            for frame in frames:
                if frame.index == row:
                    yield frame.rgb(_SIDE_PX)
                    break
