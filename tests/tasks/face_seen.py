"""A face as the stages before the metrics would have found it, but moving as a test wants."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.indices import JAW, MOUTH
from models.speech_to_lips.neutral import LOWER, UPPER
from stores.artifacts.source import Source
from tasks.source.landmarks import mean_face
from tasks.source.timeline import timeline
from tests.media_factory import make_video

HEIGHT_PX = 100.0


@dataclass
class Known:
    """Stands for an artifact: its arrays are at hand."""

    arrays: dict[str, NDArray[Any]]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        return {"sample": len(self.arrays["sample"])} if "sample" in self.arrays else {}

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> NDArray[Any]:
        return self.arrays[name][start:stop]


def times(folder: Path, frames: int, rate: int = 25) -> Any:
    """The timeline of a tiny video; needs an active run."""
    path = folder / f"{frames}_{rate}.mp4"
    if not path.exists():
        make_video(path, frames=frames, rate=rate, size=(32, 32))
    return timeline(Source.of(path))


def mouth(opening: NDArray[np.float64]) -> NDArray[np.float32]:
    """(frame, 57, 3): the mean face's mouth, its lower lip and jaw moved down [face heights]."""
    rest = mean_face()[list(MOUTH)]
    rest[:, 1] -= np.where(np.arange(len(rest)) == LOWER, rest[LOWER, 1] - rest[UPPER, 1], 0)
    lower = rest[:, 1] > rest[UPPER, 1] + 1e-4
    lower[: len(JAW)] = False
    lower[LOWER] = True
    moving = np.repeat(rest[None], len(opening), 0)
    moving[:, lower, 1] += opening[:, None]
    return moving.astype(np.float32)


def face(
    opening: NDArray[np.float64],
    *,
    head: NDArray[np.float64] | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> Known:
    """Landmarks of a mouth that opens so far (frame,) [face heights], on a head that moves.

    Args:
        head: (frame, 3) [face heights].
        valid: (frame,) the face is seen.
    """
    frames = len(opening)
    valid = np.ones(frames, bool) if valid is None else valid
    moved = np.zeros((frames, 3)) if head is None else head
    points = HEIGHT_PX * (mean_face()[None] + moved[:, None])
    shapes = mouth(opening)
    return Known(
        {
            "valid": valid,
            "landmarks": (points * valid[:, None, None]).astype(np.float32),
            "mouth": shapes * valid[:, None, None].astype(np.float32),
            "scale": np.full(frames, HEIGHT_PX, np.float32),
        }
    )


def sound(samples: NDArray[np.floating[Any]]) -> Known:
    """A waveform at 16 kHz."""
    return Known(
        {"sample": samples.astype(np.float32)}, {"rate_hz": 16000, "seconds": len(samples) / 16000}
    )
