"""How near the face model comes to real faces, and how fast.

    python -m benchmarks.face_fit [--store FOLDER] VIDEO...

`photo` is the root mean square of the colours' difference over the face, RGB in 0..1: of the mean
colour of the clip's faces, of mesh mode with the mean albedo in the light that suits it best, and
of photometric mode. `opening` is the correlation of the mouth's opening in the fit with that of the
landmarks; `jitter` the root mean square of the second differences of the 68 points [px of 256], of
the landmarks and of the fit. Processor time of a frame includes reading it; the person is known.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.clips import largest_face
from benchmarks.command import command_parser, table
from models.face_fit.photometric import (
    Coefficients,
    first_light,
    landmark_error,
    photo_error,
    render,
)
from models.face_fit.settings import FitSettings
from models.faces.mesh.indices import LOWER_INNER_LIP, UPPER_INNER_LIP
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tasks.engine.stage import Shard
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import face_fit
from tasks.source.face_fit_person import face_fit_person
from tasks.source.fitting import FittedFrames, colors, fitted_model
from tasks.source.pictures import PIXEL_SHARD

COLUMNS = (
    *("clip", "valid frames", "mode", "processor [ms]", "landmarks [px]"),
    *("photo: mean colour", "photo", "opening", "jitter of landmarks", "of fit"),
)

SHARDS = [Shard(0, 0, PIXEL_SHARD), Shard(1, PIXEL_SHARD, 2 * PIXEL_SHARD)]
"""Frames whose processor time is taken, once the first of them have been fitted."""


def milliseconds(**given: Any) -> float:
    """Processor time of a frame, on one core."""
    frames = given["timeline"].sizes["frame"]
    parts = [Shard(s.index, s.start, min(s.stop, frames)) for s in SHARDS if s.start < frames]
    list(face_fit.body(**given, shards=[Shard(0, 0, 4)]))
    start = time.process_time()
    list(face_fit.body(**given, shards=parts))
    return 1000 * (time.process_time() - start) / parts[-1].stop


def coefficients(person: Artifact, fitted: Artifact) -> Coefficients:
    """Those of the valid frames."""
    valid = fitted.read("valid")
    names = ("delta", "gamma", "rotation", "translation")
    frames = {name: torch.from_numpy(fitted.read(name)[valid]) for name in names}
    who = {name: torch.from_numpy(person.read(name)) for name in ("alpha", "beta")}
    return Coefficients(**who, **frames)


def mean_colour_error(faces: Coefficients, pictures: torch.Tensor) -> float:
    """Of a face of one colour."""
    mask = render(fitted_model(), faces, pictures.shape[-1]).mask
    count = 3 * mask.sum((1, 2, 3))
    mean = (pictures * mask).sum((0, 2, 3)) / mask.sum()
    off = ((pictures - mean[:, None, None]) * mask).square().sum((1, 2, 3))
    return float((off / count).sqrt().median())


def correlation(faces: Coefficients, gap: np.ndarray) -> float:
    """Of the opening of the mouth."""
    lips = faces.face(fitted_model()).geometry[:, [UPPER_INNER_LIP, LOWER_INNER_LIP]]
    found = (lips[:, 0] - lips[:, 1]).norm(dim=-1).numpy()
    return float(np.corrcoef(found, gap)[0, 1])


def jitter(points: torch.Tensor, linked: torch.Tensor) -> float:
    """Root mean square of second differences within runs of frames."""
    both = linked[1:-1] & linked[2:]
    return float(points.diff(n=2, dim=0)[both].square().mean().sqrt())


@torch.no_grad()
def rows(video: Source) -> Iterator[tuple[object, ...]]:
    """Of both modes."""
    clock, seen = largest_face(video)
    pictures: np.ndarray | None = None
    for mode in ("photometric", "mesh"):
        settings = FitSettings(mode=mode)
        with torch.enable_grad():
            person = face_fit_person(
                video, clock, landmarks=seen, basis=own_basis_key(), settings=settings
            )
            given = {"landmarks": seen, "person": person, "frozen": None, "settings": settings}
            fitted = face_fit(video, clock, **given)
            took = milliseconds(video=video, timeline=clock, **given)
        valid = fitted.read("valid")
        at = np.flatnonzero(valid)
        frames = FittedFrames(video, clock, seen, settings)
        pictures = fitted.read("picture")[valid] if pictures is None else pictures
        shown, linked = colors(pictures), frames.linked(at)
        landmarks = frames.points(at)[:, fitted_model().landmarks]
        faces = coefficients(person, fitted)
        if mode == "mesh":
            faces = replace(faces, gamma=first_light(fitted_model(), faces, shown))
        photo = float(photo_error(fitted_model(), faces, shown).median())
        off = float(landmark_error(fitted_model(), faces, landmarks).median())
        points = faces.face(fitted_model()).landmarks
        yield (
            *(video.path.stem, f"{len(at)} of {len(valid)}", mode, f"{took:.1f}", f"{off:.2f}"),
            *(f"{mean_colour_error(faces, shown):.4f}", f"{photo:.4f}"),
            f"{correlation(faces, opening(seen.read('mouth')[valid])):.3f}",
            f"{jitter(landmarks, linked):.3f}",
            f"{jitter(points, linked):.3f}",
        )


def main() -> None:
    arguments = command_parser(__doc__)
    arguments.add_argument("--store", type=Path)
    arguments.add_argument("videos", nargs="+", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_run(Store(given.store or folder)):
        table(COLUMNS, (row for path in given.videos for row in rows(Source.of(path))))


if __name__ == "__main__":
    main()
