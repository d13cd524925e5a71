"""Damaged versions of a real talking face rank as they must on each metric that claims to see it.

Blurred (sharpness, structure, perception), compressed (pixels), with another person's face
(identity), and with a mouth that stays closed (lips, agreement with the speech).
"""

import csv
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.faces.mesh.indices import JAW, LIPS, RIGID
from models.speech_to_lips.neutral import opening
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tasks.metrics import families
from tasks.metrics.family import Comparison, Family
from tasks.source.mesh_detector import FaceMeshDetector, RgbView
from tasks.source.seen import Seen
from tests.media_factory import EXAMPLE
from tests.tasks.compared import compared, heard, read_pictures, seen, write_frames

pytestmark = [pytest.mark.dub, pytest.mark.long]

Picture = NDArray[np.uint8]
Mesh = NDArray[np.float32]
Scores = Callable[[str, str], float]

OTHER_FACE = "skimage/data/astronaut.png"
"""NASA's portrait of Eileen Collins (public domain), which comes with scikit-image."""

BLURRED = ("same", "blurred", "more_blurred")
COMPRESSED = ("same", "compressed", "more_compressed")
RANKS = (
    *((metric, BLURRED) for metric in ("cpbd_face", "cpbd_full", "ssim_face", "ssim_full")),
    ("ssim_mouth", BLURRED),
    *(("effnet_distance", ("same", worse)) for worse in ("more_blurred", "more_compressed")),
    *((metric, COMPRESSED) for metric in ("psnr_face", "psnr_full", "psnr_mouth")),
    *((metric, COMPRESSED) for metric in ("ssim_face", "ssim_full")),
    *(("identity_dlib", (better, "other_face")) for better in ("same", "more_blurred", "closed")),
    ("identity_dlib", ("more_compressed", "other_face")),
    *(("lip_distance", (better, "closed")) for better in ("same", "blurred", "compressed")),
    *(("lip_velocity", (better, "closed")) for better in ("same", "blurred", "compressed")),
)
"""Metric, and versions from the best to the worst."""
SPOKEN = (("agreement", ("same", "closed")), ("agreement_in_step", ("same", "closed")))
"""Where the speech is the clip's own."""


def family_by_metric() -> dict[str, Family]:
    """By metric, those that can be computed here without weights from outside."""
    usable = [family for family in families().values() if not family.weights]
    return {metric.name: family for family in usable for metric in family.metrics}


FAMILIES = family_by_metric()


class Versions:
    """A clip, and what becomes of it."""

    def __init__(
        self, folder: Path, pictures: list[Picture], *, rate: int, speech: Path, other: Path
    ) -> None:
        self._folder, self._pictures, self._rate = folder, pictures, rate
        self._speech, self._other = heard(speech), other
        self.original = self._written("same", pictures)
        self.seen = cache(self._seen)
        self.score = cache(self._score)

    def _score(self, version: str, metric: str) -> float:
        comparison = self._comparison(version)
        attributes = FAMILIES[metric].measure(comparison).attributes
        assert metric not in attributes["reasons"], attributes["reasons"]
        value = float(attributes["values"][metric])
        about = next(m for m in FAMILIES[metric].metrics if m.name == metric)
        return value if about.better == "higher" else -value

    def _comparison(self, version: str) -> Comparison:
        return compared(self.seen(version), self.original, speech=self._speech)

    def _seen(self, version: str) -> Seen:
        if version == "same":
            return self.original
        pictures, crf = self._pictures, 4
        if version.endswith("blurred"):
            sigma = 1.5 if version == "blurred" else 4
            pictures = [np.asarray(cv2.GaussianBlur(p, (0, 0), sigma), np.uint8) for p in pictures]
        elif version.endswith("compressed"):
            crf = 30 if version == "compressed" else 44
        elif version == "closed":
            pictures = self._closed()
        elif version == "other_face":
            pictures = self._with_face(*face_of(self._other), list(range(468)))
        return self._written(version, pictures, crf)

    def _written(self, version: str, pictures: list[Picture], crf: int = 4) -> Seen:
        path = self._folder / f"{version}.mp4"
        return seen(write_frames(path, pictures, rate=self._rate, crf=crf))

    def _closed(self) -> list[Picture]:
        """The mouth of the most closed frame, in all."""
        gap = opening(self.original.landmarks.read("mouth"))
        gap[~self.original.landmarks.read("valid")] = np.inf
        row = int(gap.argmin())
        mesh = self.original.landmarks.read("landmarks", row, row + 1)[0]
        return self._with_face(self._pictures[row], mesh, [*JAW, *LIPS, 1, 50, 280])

    def _with_face(self, donor: Picture, donor_mesh: Mesh, points: list[int]) -> list[Picture]:
        meshes = self.original.landmarks.read("landmarks")
        return [
            transplanted(donor, donor_mesh, picture, mesh, points)
            for picture, mesh in zip(self._pictures, meshes, strict=True)
        ]


def face_of(path: Path) -> tuple[Picture, Mesh]:
    """The first picture of a file, and the mesh of its largest face."""
    (picture,) = read_pictures(path, most=1)
    detector = FaceMeshDetector()
    try:
        found, _ = detector.detect(RgbView(picture))
    finally:
        detector.close()
    return picture, np.asarray(found[0], np.float32)


def transplanted(
    donor: Picture, donor_mesh: Mesh, picture: Picture, mesh: Mesh, points: list[int]
) -> Picture:
    """The donor's face within the hull of those mesh points, scaled to fit; soft edge."""
    rigid = list(RIGID)
    transform, _ = cv2.estimateAffinePartial2D(donor_mesh[rigid, :2], mesh[rigid, :2])
    size = picture.shape[1::-1]
    moved = cv2.warpAffine(donor, transform, size, flags=cv2.INTER_LINEAR)
    placed = donor_mesh[points, :2] @ transform[:, :2].T + transform[:, 2]
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(placed.astype(np.int32)), 1.0)
    width = float(np.ptp(mesh[:, 0]))
    mask = cv2.GaussianBlur(mask, (0, 0), 0.02 * width)[..., None]
    return np.asarray(mask * moved + (1 - mask) * picture, np.uint8)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    """Part of the example, which is silent; beside it somebody else's speech."""
    folder = tmp_path_factory.mktemp("ranking")
    package = find_spec("skimage")
    assert package is not None and package.submodule_search_locations
    other = Path(package.submodule_search_locations[0]).parent / OTHER_FACE
    with pytest.MonkeyPatch.context() as patch, open_run(Store(folder / "store")):
        patch.setenv("DUBFLOW_PROCESSORS", "1")  # other tests run beside this one
        pictures = read_pictures(EXAMPLE, most=124)[100::2]
        speech = EXAMPLE.with_name("jfk.wav")
        yield Versions(folder, pictures, rate=12, speech=speech, other=other)


def assert_ranked(versions: Versions, metric: str, order: tuple[str, ...]) -> None:
    missing = FAMILIES[metric].missing()
    if missing:
        pytest.skip(missing)
    scores = {version: versions.score(version, metric) for version in order}
    assert all(scores[a] > scores[b] for a, b in pairwise(order)), f"{metric}: {scores}"


@pytest.mark.parametrize(("metric", "order"), RANKS)
def test_example(example: Versions, metric: str, order: tuple[str, ...]) -> None:
    assert_ranked(example, metric, order)


CLIPS = ("validation/p009_0009.mp4", "validation/p013_0131.mov", "validation/p043_0051.mp4")
"""In sync, of several people."""
CLIP_FRAMES = 150


@pytest.fixture(scope="module", params=CLIPS)
def clip(
    request: pytest.FixtureRequest, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Versions]:
    """Five or six seconds of a person, and another person's first frame."""
    folder = tmp_path_factory.mktemp("ranking")
    with (clips / "manifest.csv").open() as file:
        rates = {row["file"]: round(float(row["fps"])) for row in csv.DictReader(file)}
    other = clips / CLIPS[(CLIPS.index(request.param) + 1) % len(CLIPS)]
    pictures = read_pictures(clips / request.param, most=CLIP_FRAMES)
    with open_run(Store(folder / "store"), workers=1):
        rate, speech = rates[request.param], clips / request.param
        yield Versions(folder, pictures, rate=rate, speech=speech, other=other)


@pytest.mark.slow
@pytest.mark.clips
@pytest.mark.parametrize(("metric", "order"), (*RANKS, *SPOKEN))
def test_real_clips(clip: Versions, metric: str, order: tuple[str, ...]) -> None:
    assert_ranked(clip, metric, order)
