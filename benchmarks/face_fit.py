"""How near the face model comes to real faces, and how fast.

    python -m benchmarks.face_fit [--store FOLDER] [--speed] VIDEO...

`photo` is the root mean square of the colours' difference over the face, RGB in 0..1: of the mean
colour of the clip's faces, of mesh mode with the mean albedo in the light that suits it best, and
of photometric mode. `opening` is the correlation of the mouth's opening in the fit with that of the
landmarks; `jitter` the root mean square of the second differences of the 68 points [px of 256], of
the landmarks and of the fit. Processor time of a frame includes reading it; the person is known.

With --speed only how fast the stage is as a run calls it: frames a second by the wall with two
workers, written to the store, and the memory that the process took at most and just before. So run
it on clips from short to long, on a machine that does nothing else.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.clips import largest_face
from benchmarks.command import command_parser, table
from models.audiodvp.face_model import FaceModel
from models.face_fit.coefficients import Coefficients
from models.face_fit.photometric import (
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

SPEED_COLUMNS = ("clip", "frames", "mode", "frames/s", "before [MiB]", "at most [MiB]")

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


def own_model() -> FaceModel:
    """What is fitted."""
    return fitted_model("own", own_basis_key()).model


def coefficients(person: Artifact, fitted: Artifact) -> Coefficients:
    """Those of the valid frames."""
    valid = fitted.read("valid")
    names = ("delta", "gamma", "rotation", "translation")
    frames = {name: torch.from_numpy(fitted.read(name)[valid]) for name in names}
    who = {name: torch.from_numpy(person.read(name)) for name in ("alpha", "beta")}
    return Coefficients(**who, **frames)


def mean_colour_error(faces: Coefficients, pictures: torch.Tensor) -> float:
    """Of a face of one colour."""
    mask = render(own_model(), faces, pictures.shape[-1]).mask
    count = 3 * mask.sum((1, 2, 3))
    mean = (pictures * mask).sum((0, 2, 3)) / mask.sum()
    off = ((pictures - mean[:, None, None]) * mask).square().sum((1, 2, 3))
    return float((off / count).sqrt().median())


def correlation(faces: Coefficients, gap: np.ndarray) -> float:
    """Of the opening of the mouth."""
    lips = faces.face(own_model()).geometry[:, [UPPER_INNER_LIP, LOWER_INNER_LIP]]
    found = (lips[:, 0] - lips[:, 1]).norm(dim=-1).numpy()
    return float(np.corrcoef(found, gap)[0, 1])


def jitter(points: torch.Tensor, linked: torch.Tensor) -> float:
    """Root mean square of second differences within runs of frames."""
    both = linked[1:-1] & linked[2:]
    return float(points.diff(n=2, dim=0)[both].square().mean().sqrt())


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Memory of this process before, and (afterwards) at most [MiB]."""
    process, ended = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss / 2**20] * 2

    def look() -> None:
        while not ended.wait(0.02):
            seen[1] = max(seen[1], process.memory_info().rss / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def speeds(video: Source, store: Store) -> Iterator[tuple[object, ...]]:
    """Of both modes."""
    clock, seen = largest_face(video)
    frames = clock.sizes["frame"]
    for mode in ("mesh", "photometric"):
        settings = FitSettings(mode=mode)
        known = {"landmarks": seen, "settings": settings}
        person = face_fit_person(video, clock, basis=own_basis_key(), **known)
        given = known | {"person": person, "frozen": None}
        if store.find(face_fit.schema.kind, key := face_fit.key(video, clock, **given)):
            store.remove(face_fit.schema.kind, key)
        list(face_fit.body(video, clock, **given, shards=[Shard(0, 0, min(4, frames))]))
        with peak_memory() as memory:
            start = time.perf_counter()
            face_fit(video, clock, **given)
            wall = time.perf_counter() - start
        before, most = memory
        yield video.path.stem, frames, mode, f"{frames / wall:.0f}", f"{before:.0f}", f"{most:.0f}"


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
        frames = FittedFrames(video, clock, seen, None, settings)
        pictures = fitted.read("picture")[valid] if pictures is None else pictures
        shown, linked = colors(pictures), frames.linked(at)
        landmarks = frames.landmarks(at)
        faces = coefficients(person, fitted)
        if mode == "mesh":
            faces = replace(faces, gamma=first_light(own_model(), faces, shown))
        photo = float(photo_error(own_model(), faces, shown).median())
        off = float(landmark_error(own_model(), faces, landmarks).median())
        points = faces.face(own_model()).landmarks
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
    arguments.add_argument("--speed", action="store_true")
    arguments.add_argument("videos", nargs="+", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(given.store or folder)
        with open_run(store, workers=2):
            sources = map(Source.of, given.videos)
            if given.speed:
                table(SPEED_COLUMNS, (row for each in sources for row in speeds(each, store)))
            else:
                table(COLUMNS, (row for each in sources for row in rows(each)))


if __name__ == "__main__":
    main()
