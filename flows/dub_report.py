"""What a dub did, as one JSON object."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from flows.origin import OriginReport
from tasks.engine.call import titled
from tasks.engine.run import Run

NOBODY = "no usable face in any frame: the picture passed through"
"""Why there may be nothing to dub."""


class StageReport(BaseModel):
    """One stage: `hits` ranges came from the store, `computed` were computed in this run."""

    name: str
    seconds: float
    hits: int
    computed: int
    key: str
    role: str = Field("", description="what it is for, where there are several of that name")

    @property
    def title(self) -> str:
        """As in "waveform (speech)"."""
        return titled(self.name, self.role)


class CueReport(BaseModel):
    """A row of a cue sheet."""

    row: int = Field(description="from 1, as in the sheet")
    face: str = Field(description="as the sheet calls it")
    start: float = Field(description="when it begins [s]")
    end: float = Field(description="when it ends [s]")
    frames: tuple[int, int] = Field(description="output frames [start, stop)")
    speech: Path
    take: str = ""
    text: str = ""
    stretch: float = Field(1.0, description="how much faster the speech is than in its file")
    over_seconds: float = Field(0.0, description="of the speech that were cut at the end [s]")


class DubReport(BaseModel):
    """What `dubflow dub --json` prints."""

    run: str = Field("", description="id of its record in the store")
    output: Path
    frames: int = Field(description="frames written")
    valid_frames: int = Field(description="frames in which the mouth was made anew")
    no_face_ranges: list[tuple[int, int]] = Field(
        description="output frames [start, stop) that passed through untouched"
    )
    changed_ranges: list[tuple[int, int]] | None = Field(
        None,
        description="output frames [start, stop) that are not packet by packet those of the last "
        "run that wrote this file; null: there was none",
    )
    cues: list[CueReport] = Field([], description="rows of the cue sheet")
    in_reach: float | None = Field(
        None,
        description="share of the new mouths, 0..1, of which the source shows one nearly alike; "
        "null for a method that does not borrow mouths",
    )
    seconds: float = Field(description="length of the output [s]")
    speech_seconds: float = Field(description="length of the speech given [s]")
    origin: OriginReport = OriginReport()
    stages: list[StageReport]
    notes: list[str] = Field(description="what a user should know about this result")
    versions: dict[str, str]

    @property
    def filtered(self) -> str:
        """Why there was nothing to dub; "" where a mouth was made anew."""
        return "" if self.valid_frames else NOBODY


def stage_reports(run: Run) -> list[StageReport]:
    """What each stage of a run did, in order; what was asked for again is told of once."""
    found: dict[tuple[str, str], StageReport] = {}
    for r in run.records:
        found.setdefault(
            (r.key, r.role),
            StageReport(
                name=r.name,
                seconds=r.seconds,
                hits=r.hits,
                computed=r.computed,
                key=r.key,
                role=r.role,
            ),
        )
    return list(found.values())


def false_ranges(valid: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges [start, stop) of a mask (frame,) where it is false."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], valid, [True]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
