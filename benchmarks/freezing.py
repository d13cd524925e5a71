"""How still D-Net makes a talking mouth, and what else of the face it moves.

    python -m benchmarks.freezing --dnet FILE --store FOLDER VIDEO... [--template person]
        [--sheet SHEET.png]

Every face of a clip gets one expression in its own pose, as `video_retalking` does it, at the size
that D-Net was made for. Both the faces and what D-Net makes of them are then looked at by the face
mesh, as films of their own, so that both have passed through the same cut: how much the
opening of the mouth varies (its standard deviation, in face heights), where the heads are turned
to, and how near a face comes back that is driven by its own coefficients. In the sheet are faces of
each clip, D-Net's with their own coefficients below them, and the frozen ones below those.
"""

import argparse
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import command_parser, table
from benchmarks.trained import networks
from flows.seen import see
from models.faces.smooth import valid_runs
from models.speech_to_lips.neutral import opening
from models.video_retalking.dnet import DNet
from models.video_retalking.settings import Template
from models.video_retalking.speaker import Stabiliser
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.weights.trained import read_header
from tasks.engine.open_run import open_run
from tasks.methods.vrt_coefficients import face_numbers, run_windows
from tasks.methods.vrt_reference import vrt_template
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline
from tasks.training.dataset import resized

Pictures = NDArray[np.uint8]

_SHOWN = 10
_BATCH = 16


class Figures(NamedTuple):
    """Of one clip."""

    own_db: float
    spread: float
    frozen_spread: float
    turned_degrees: float

    def row(self) -> list[str]:
        fall = 100 * (1 - self.frozen_spread / self.spread)
        return [
            f"{self.own_db:.1f}",
            f"{self.spread:.4f}",
            f"{self.frozen_spread:.4f}",
            f"{fall:.0f} %",
            f"{self.turned_degrees:.2f}",
        ]


def faces_of(
    network: DNet, video: Path, driver: str, template: Template
) -> tuple[Pictures, Pictures, Pictures]:
    """A clip's faces (frame, y, x, 3) BGR: as they are, by their own coefficients, frozen; of the
    network's size."""
    seen = see(Source.of(video))
    cut, numbers = face_numbers(seen, driver=driver)  # type: ignore[arg-type]
    valid = numbers.read("valid")
    rows = np.flatnonzero(valid)
    runs = valid_runs(valid, load_timeline(seen.timeline).scene_start)
    windows = run_windows(numbers, runs, 0, len(valid))
    frozen = vrt_template(
        numbers, seen.landmarks, template=template, strength=1.0, published=None, picture=None
    ).read("expression")
    still = windows.copy()
    still[:, : len(frozen)] = frozen[:, None]
    faces, stabilise = resized(cut.read_rows("face", rows), network.side), Stabiliser(network)

    def made(windows: NDArray[np.float32]) -> Pictures:
        found = []
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            given = torch.from_numpy(faces[part].copy()), torch.from_numpy(windows[part].copy())
            found.append(stabilise(*given).numpy())
        return np.concatenate(found)

    with torch.inference_mode():
        return faces, made(windows), made(still)


def landmarks_of(faces: Pictures, path: Path) -> Artifact:
    """What the face mesh finds in a film of these faces."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("ffv1", rate=Fraction(25))
        stream.height, stream.width = faces.shape[1:3]
        stream.pix_fmt = "bgr0"
        for face in faces:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(face, "bgr24")))
        film.mux(stream.encode(None))
    return see(Source.of(path)).landmarks


def turned(one: Artifact, other: Artifact) -> float:
    """Mean angle between the heads of two films [degrees]."""
    both = one.read("valid") & other.read("valid")
    turns = load_pose(one).rotation[both] @ load_pose(other).rotation[both].transpose(0, 2, 1)
    cosines = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    return float(np.degrees(np.arccos(cosines.clip(-1, 1))).mean())


def measured(films: tuple[Pictures, Pictures, Pictures]) -> Figures:
    faces, own, still = films
    squared = np.square(faces.astype(np.float32) - own).mean((1, 2, 3))
    with TemporaryDirectory() as folder:
        before, after = (
            landmarks_of(film, Path(folder, name))
            for film, name in ((faces, "faces.mkv"), (still, "still.mkv"))
        )
    both = before.read("valid") & after.read("valid")
    spreads = [float(opening(found.read("mouth"))[both].std()) for found in (before, after)]
    return Figures(float((10 * np.log10(255**2 / squared)).mean()), *spreads, turned(before, after))


def sheet(clips: list[tuple[Pictures, Pictures, Pictures]]) -> Pictures:
    rows = []
    for films in clips:
        chosen = np.linspace(0, len(films[0]) - 1, _SHOWN).astype(int)
        rows += [np.concatenate([cv2.resize(f, (128, 128)) for f in m[chosen]], 1) for m in films]
    return np.concatenate(rows)


def main() -> None:
    parser: argparse.ArgumentParser = command_parser(__doc__)
    parser.add_argument("--dnet", type=Path, required=True, help="of video_retalking.dnet")
    parser.add_argument("--store", required=True)
    parser.add_argument("--template", choices=("neutral", "person"), default="neutral")
    parser.add_argument("--sheet", type=Path, help="picture to write")
    parser.add_argument("videos", type=Path, nargs="+")
    given = parser.parse_args()
    store = Store(given.store)
    network = networks([given.dnet], DNet, store)[str(given.dnet)].eval()
    driver = read_header(given.dnet).trained_on["coefficients"]
    columns = ["clip", "own face [dB]", "opening, std", "frozen", "fall", "head turned by [°]"]
    shown = []
    with open_run(store):
        for video in given.videos:
            films = faces_of(network, video, driver, given.template)
            shown.append(films)
            table(columns, [[video.name, *measured(films).row()]])
    if given.sheet is not None:
        cv2.imwrite(str(given.sheet), sheet(shown))


if __name__ == "__main__":
    main()
