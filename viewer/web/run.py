"""A recorded run as the page sees it: its videos, its rows in time, its artifacts.

A *row* is a frame of the dub, in the order of showing; of a run without a dub, of the source.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.backends.kept import Kept
from stores.errors import InputError, MediaError, StoreError
from stores.media.facts import VideoFacts
from stores.media.read import OpenVideo
from stores.media.segment import encoded_facts
from stores.media.settings import EncodeSettings
from stores.media.timeline import Timeline
from stores.runs import RunRecord
from viewer.composed import Composed, segment_rows
from viewer.web.frames import Pictures
from viewer.web.playable import dub_type, playable_type

Which = Literal["source", "dub"]
Sound = Literal["speech", "own"]


class RunView:
    """What a run used and made, read as it is needed. Safe for threads.

    Args:
        store: That has the run.
        record: Of the run.
        made: Pictures that were made of videos.
    """

    def __init__(self, store: Store, record: RunRecord, made: Kept[bytes]) -> None:
        self.store, self.record = store, record
        self._made = made
        self._found: dict[tuple[str, str], Artifact | None] = {}
        self._pictures: dict[str, Pictures] = {}
        self._playable: dict[Which, str | None] = {}
        self._lock = RLock()

    def find(self, kind: str, key: str) -> Artifact | None:
        """An artifact of the store, its files unchecked; None where it is missing or damaged."""
        with self._lock:
            if (kind, key) not in self._found:
                try:
                    self._found[kind, key] = self.store.find(kind, key, check=False)
                except StoreError:
                    return None
            return self._found[kind, key]

    def all(self, kind: str) -> list[Artifact]:
        """The run's artifacts of a kind that are there."""
        found = (self.find(k, key) for k, key in self.record.artifacts if k == kind)
        return [artifact for artifact in found if artifact is not None]

    def one(self, kind: str) -> Artifact | None:
        """The artifact of a kind that the dub was made of, the nearest; else the run's first."""
        return self.used.get(kind)

    @cached_property
    def used(self) -> dict[str, Artifact]:
        """Artifacts by kind, those that are nearest to the dub first."""
        found: dict[str, Artifact] = {}
        waiting = [item for item in self.record.artifacts if item[0] == "dubbed"][:1]
        seen = set(waiting)
        for item in waiting:  # grows
            artifact = self.find(*item)
            if artifact is not None:
                found.setdefault(item[0], artifact)
                given = [i for i in artifact.manifest.inputs.values() if i[0] != "source"]
                waiting += [i for i in given if i not in seen]
                seen.update(given)
        for kind, key in self.record.artifacts:
            if kind not in found and (artifact := self.find(kind, key)) is not None:
                found[kind] = artifact
        return {kind: each for kind, each in found.items() if not self._of_one_cue(each, found)}

    def _of_one_cue(self, artifact: Artifact, used: Mapping[str, Artifact]) -> bool:
        """Whether its rows are of one cue of a sheet, and not of the run."""
        frames, whole = artifact.manifest.inputs.get("output_frames"), used.get("output_frames")
        if frames is None or whole is None or "dubbed" not in used:
            return False
        return frames[1] != whole.key

    def need(self, kind: str) -> Artifact:
        """As `one`.

        Raises:
            StoreError: there is none.
        """
        artifact = self.one(kind)
        if artifact is None:
            raise StoreError(f"the run {self.record.id} has no {kind} in {self.store.url}")
        return artifact

    @property
    def dubbed(self) -> Artifact | None:
        """The dubbed file."""
        return self.one("dubbed")

    def dubbed_sources(self) -> list[tuple[str, str]]:
        """The dubbed file as an input of whatever looks at it as at any video."""
        if self.dubbed is None:
            return []
        return [("source", self.dubbed.manifest.files[self.dubbed.attributes["file"]].digest)]

    @cached_property
    def clip(self) -> Timeline:
        """The source's frames."""
        found = self.need("timeline")
        names = ("pts", "decoded_pts", "keyframe", "scene_start")
        return Timeline.from_record({name: found.read(name) for name in names}, found.attributes)

    @cached_property
    def source_frame(self) -> NDArray[np.int32]:
        """Which frame of the source each row shows."""
        if self.dubbed is None:
            return np.arange(len(self.clip), dtype=np.int32)
        return self.need("output_frames").read("source_frame").astype(np.int32)

    @cached_property
    def ticks(self) -> NDArray[np.int64]:
        """When each row is shown [ticks of the source's time base]."""
        return self.clip.pts if self.dubbed is None else self.need("output_frames").read("pts")

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """When each row is shown, and the end [s]."""
        dub = self.dubbed
        end = self.clip.end_pts if dub is None else int(dub.manifest.parameters["end_pts"])
        return np.append(self.ticks, end) * float(self.clip.time_base)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.source_frame)

    def row(self, row: int) -> int:
        """The row.

        Raises:
            InputError: there is no such row.
        """
        if not 0 <= row < self.rows:
            raise InputError(f"row {row} is not within the {self.rows} of the run")
        return row

    def video_file(self, which: Which) -> Path:
        """The file of the source, or of the dub.

        Raises:
            MediaError: it is no longer there.
        """
        if which == "dub":
            dubbed = self.need("dubbed")
            return dubbed.file(dubbed.attributes["file"])
        given = self.record.settings.get("video")
        if not isinstance(given, str) or not Path(given).is_file():
            raise MediaError(
                f"the source {given} is not there; start `dubflow inspect` where the run was "
                "started, or bring the file back"
            )
        return Path(given)

    def playable(self, which: Which) -> str | None:
        """Media type and codecs if browsers play the file as it is.

        Raises:
            MediaError: it is no longer there.
        """
        if which == "dub":
            given, picture = self.need("dubbed").manifest.parameters, self.need("composite")
            sound, suffix = given["sound"]["audio_codec"], given["suffix"]
            return dub_type(self.facts["dub"], picture.attributes["codec"], sound, suffix)
        path = self.video_file(which)
        if which not in self._playable:
            self._playable[which] = playable_type(path)
        return self._playable[which]

    @cached_property
    def facts(self) -> dict[Which, VideoFacts]:
        """Of the videos that there are."""
        found: dict[Which, VideoFacts] = {"source": self.clip.video}
        composite = self.one("composite")
        if self.dubbed is not None and composite is not None:
            settings = EncodeSettings(**composite.manifest.parameters["encode"])
            found["dub"] = encoded_facts(self.clip.video, settings)
        return found

    def pictures(self, which: Which, *, aside: bool = False) -> Pictures:
        """Of the source by its own frames, or of the dub by rows.

        Args:
            aside: For looks elsewhere, which leave the frame that is shown where it is.

        Raises:
            StoreError: there is no dub.
        """
        with self._lock:
            of = f"{which} aside" if aside else which
            if of not in self._pictures:
                name = f"{self.record.id} {which}"
                if which == "source":
                    path, clip = self.video_file("source"), self.clip
                    keys = np.flatnonzero(clip.keyframe)

                    def key(index: int) -> int:
                        place = int(np.searchsorted(keys, index, side="right"))
                        return int(keys[place - 1]) if place else 0

                    made = Pictures(name, lambda: OpenVideo(path, clip), key, len(clip), self._made)
                else:
                    composite = self.need("composite")
                    ticks, video, rows = self.ticks, self.clip.video, segment_rows(composite)
                    made = Pictures(
                        name,
                        lambda: Composed(composite, video, ticks),
                        lambda index: index // rows * rows,
                        self.rows,
                        self._made,
                    )
                self._pictures[of] = made
            return self._pictures[of]

    def close(self) -> None:
        """Close the videos."""
        for pictures in list(self._pictures.values()):
            pictures.close()

    @property
    def shift_seconds(self) -> float:
        """Time of the source that is time 0 of the rows [s]."""
        zero = int(self.clip.pts[self.source_frame[0]]) - int(self.ticks[0])
        return float(zero * self.clip.time_base)

    def waveform(self, sound: Sound) -> Artifact | None:
        """The new speech, or the source's own sound."""
        composite = self.one("composite")
        spoken = self.dubbed.manifest.inputs["speech"] if self.dubbed else None
        own = composite.manifest.inputs["video"] if composite else None
        wanted = spoken if sound == "speech" else own
        for found in self.all("waveform"):
            if found.manifest.inputs.get("audio") == wanted or (
                self.dubbed is None and sound == "own"
            ):
                return found
        return None

    def row_is(self, artifact: Artifact) -> Literal["output", "source", "other"]:
        """What the rows of an artifact are."""
        if artifact.kind in ("output_frames", "dubbed"):
            return "output"
        frames = artifact.sizes.get("frame")
        if "output_frames" in artifact.manifest.inputs and frames == self.rows:
            return "output"
        timeline = self.one("timeline")
        return "source" if timeline and frames == timeline.sizes["frame"] else "other"

    def row_of(self, artifact: Artifact, row: int) -> int | None:
        """The artifact's row that belongs to a row of the run."""
        kind = self.row_is(artifact)
        return (
            row if kind == "output" else int(self.source_frame[row]) if kind == "source" else None
        )


def has(artifact: Artifact, array: str) -> bool:
    """Whether it has an array of that name."""
    return f"{array}/zarr.json" in artifact.manifest.files


def dims(artifact: Artifact, array: str) -> tuple[str, ...]:
    """Names of an array's dimensions; none of a stream of bytes."""
    layout = artifact.layout(array)
    return () if layout is None else layout.dims
