"""Metrics of pictures: equals score perfectly, and known damage moves each by what it must."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.faces.crop.masks import lower_face_mask
from models.faces.recognition.alignment import TEMPLATE, aligned, similarity
from models.restore.points import five_points
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import SettingsError
from stores.media.read import read_frames
from tasks.engine.open_run import open_run
from tasks.metrics import families, find_family
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import pairs, some_frames, spread
from tasks.metrics.match import match
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline, timeline
from tasks.weights.networks import load_network
from tests.media_factory import faces, make_video
from tests.published_weights import add_filled, write_registry
from tests.tasks.compared import seen

pytestmark = [pytest.mark.dub, pytest.mark.long]

FRAMES = 3
SIZE = (400, 300)
WEIGHTS = ("lpips_alex", "fid_inception_v3", "arcface_r50_ms1mv3")
EXACT: Any = {"pix_fmt": "yuv444p", "options": {"qp": "0"}}
Rgb = NDArray[np.uint8]
Compare = Callable[..., Comparison]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with weights that the goldens use."""
    folder = tmp_path_factory.mktemp("metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_WEIGHTS", str(write_registry(folder / "own.yaml", *WEIGHTS)))
        store = Store(folder / "store")
        for name in WEIGHTS:
            add_filled(store, name, folder)
        yield store


@pytest.fixture(autouse=True)
def active(store: Store) -> Iterator[None]:
    with open_run(store):
        yield


@pytest.fixture(scope="module")
def pictures() -> list[Rgb]:
    return list(islice(faces(*SIZE), FRAMES))


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return make_video(path, frames=FRAMES, size=SIZE, real_faces=True, **EXACT)


@pytest.fixture
def compare(talk: Path, pictures: list[Rgb], tmp_path: Path) -> Compare:
    numbers = count()

    def compare(change: Callable[[Rgb], Rgb] | None = None) -> Comparison:
        """The example beside itself, changed; its face is where it was."""
        reference = seen(talk)
        if change is None:
            return _comparison(reference, reference)
        changed = [np.ascontiguousarray(change(picture)) for picture in pictures]
        size = changed[0].shape[1::-1]
        path = make_video(
            tmp_path / f"changed{next(numbers)}.mp4",
            frames=FRAMES,
            size=size,
            draw=lambda index, width, height: changed[index],
            **EXACT,
        )
        source = Source.of(path)
        face = reference.landmarks if size == SIZE else seen(path).landmarks
        return _comparison(Seen(source, timeline(source), face, None), reference)

    return compare


def _comparison(result: Seen, reference: Seen) -> Comparison:
    shown = match(result.timeline, reference.timeline)
    return Comparison(result, reference, shown, result.timeline, paired=True)


def _family(name: str) -> Family:
    family = find_family(name)
    if family.package and find_spec(family.package[0]) is None:
        pytest.skip(f"{family.package[0]} is not installed")
    return family


def _values(name: str, comparison: Comparison) -> dict[str, float | None]:
    family = _family(name)
    artifact = family.measure(comparison)
    values: dict[str, float | None] = artifact.attributes["values"]
    pooled = family.pooled([artifact]) if family.pooled else {}
    assert {metric.name for metric in family.metrics} == set(values) | set(pooled)
    assert not set(pooled) & set(values)
    assert set(artifact.attributes["reasons"]) == {k for k, v in values.items() if v is None}
    return values | dict(pooled)


PERFECT = {
    "pixels": dict.fromkeys(("psnr_full", "psnr_face", "psnr_mouth"), 100)
    | dict.fromkeys(("ssim_full", "ssim_face", "ssim_mouth"), 1),
    "drift": {"drift_outside": 0, "seam": 1},
    "lpips_alex": {"lpips_alex": 0},
    "effnet": {"effnet_distance": 0},
    "identity": {"csim": 1},
    "identity_dlib": {"identity_dlib": 0},
    "fid": {"fid_full": 0, "fid_crop": 0},
    "effnet_frechet": {"effnet_frechet_full": 0, "effnet_frechet_crop": 0},
}


@pytest.mark.parametrize("name", PERFECT)
def test_equal_videos_are_perfect(name: str, compare: Compare) -> None:
    assert _values(name, compare()) == pytest.approx(PERFECT[name], abs=1e-3)


def test_brightness_counts_in_levels(compare: Compare) -> None:
    comparison = compare(lambda picture: cv2.add(picture // 2 + 60, (8, 8, 8, 0)))
    plain = compare(lambda picture: picture // 2 + 60)
    halved = _comparison(comparison.result, plain.result)
    values = _values("pixels", halved)
    for region in ("full", "face", "mouth"):
        assert values[f"psnr_{region}"] == pytest.approx(20 * math.log10(255 / 8), abs=0.4)
        ssim = values[f"ssim_{region}"]
        assert ssim is not None and 0.9 < ssim < 1
    drift = _values("drift", halved)
    assert drift["drift_outside"] == pytest.approx(8, abs=0.3)
    assert drift["seam"] == pytest.approx(1, abs=0.05)


def test_what_changes_in_the_face_is_no_drift(compare: Compare) -> None:
    frame = compare().reference
    mesh = frame.landmarks.read("landmarks", 0, 1)[0]
    x0, y0 = mesh[:, :2].min(0).astype(int)
    x1, y1 = mesh[:, :2].max(0).astype(int)

    def gray_face(picture: Rgb) -> Rgb:
        changed = picture.copy()
        changed[y0:y1, x0:x1] = 128
        return changed

    comparison = compare(gray_face)
    drift = _values("drift", comparison)["drift_outside"]
    assert drift is not None and drift < 0.02
    values = _values("pixels", comparison)
    assert values["psnr_mouth"] < values["psnr_face"] + 3  # type: ignore[operator]
    assert values["psnr_face"] < values["psnr_full"]  # type: ignore[operator]


def test_a_pasted_mouth_of_another_brightness_shows_its_seam(compare: Compare) -> None:
    mesh = compare().reference.landmarks.read("landmarks", 0, 1)[0]
    left = int(mesh[:, 0].min()) - 20
    top = int(mesh[:, 1].min()) - 20
    side = 240
    mask = (
        lower_face_mask(mesh - np.float32([left, top, 0]), side).astype(np.float32)[..., None] / 255
    )

    def paste(amount: float) -> Callable[[Rgb], Rgb]:
        def change(picture: Rgb) -> Rgb:
            changed = picture.astype(np.float32)
            changed[top : top + side, left : left + side] += (
                amount * mask[: SIZE[1] - top, : SIZE[0] - left]
            )
            return changed.clip(0, 255).astype(np.uint8)

        return change

    little, much = (_values("drift", compare(paste(amount)))["seam"] for amount in (-10, -60))
    assert little is not None and much is not None
    assert abs(little - 1) < 0.25 < much - 1


def test_blur_is_seen_by_every_metric_that_claims_to(compare: Compare) -> None:
    sharp, soft, softer = (
        compare(),
        compare(lambda picture: cv2.GaussianBlur(picture, (0, 0), 1.5)),
        compare(lambda picture: cv2.GaussianBlur(picture, (0, 0), 4)),
    )
    for name in ("sharpness", "pixels"):
        found = [_values(name, each) for each in (sharp, soft, softer)]
        for metric in found[0]:
            first, second, third = (values[metric] for values in found)
            assert first > second, metric  # type: ignore[operator]
            assert second >= third, metric  # type: ignore[operator]
    for name in ("effnet", "effnet_frechet", "identity_dlib"):
        found = [_values(name, each) for each in (sharp, soft, softer)]
        for metric in found[0]:
            first, second, third = (values[metric] for values in found)
            assert first < second < third, metric  # type: ignore[operator]


def test_another_face_is_another_person(compare: Compare) -> None:
    """The same picture much wider is no more the same face than dlib's authors allow."""

    def widened(picture: Rgb) -> Rgb:
        height, width = picture.shape[:2]
        wide = cv2.resize(picture, (int(1.5 * width), height))
        return np.asarray(wide[:, width // 4 : width // 4 + width], np.uint8)

    reference = compare().reference
    wide = compare(widened).result
    stretched = Seen(wide.video, wide.timeline, seen(wide.video.path).landmarks, None)
    noisy = compare(lambda picture: cv2.GaussianBlur(picture, (0, 0), 0.8))
    apart = _values("identity_dlib", _comparison(stretched, reference))["identity_dlib"]
    same = _values("identity_dlib", noisy)["identity_dlib"]
    assert same is not None and apart is not None and same < 0.2 < apart


def test_a_reference_of_another_size_is_scaled(compare: Compare) -> None:
    half = compare(lambda picture: cv2.resize(picture, (200, 150), interpolation=cv2.INTER_AREA))
    values = _values("pixels", half)
    assert all(v is not None and v > 45 for k, v in values.items() if k.startswith("psnr"))
    drift = _values("drift", half)
    assert drift["drift_outside"] < 1  # type: ignore[operator]
    assert drift["seam"] == pytest.approx(1, abs=0.2)
    assert _values("effnet", half)["effnet_distance"] < 12  # type: ignore[operator]


def test_another_shape_is_refused_in_words(compare: Compare) -> None:
    cut = compare(lambda picture: picture[:, 50:350])
    for name in ("pixels", "drift", "lpips_alex"):
        artifact = find_family(name).measure(cut)
        assert set(artifact.attributes["values"].values()) == {None}
        assert all("another shape" in text for text in artifact.attributes["reasons"].values())
    assert _values("identity_dlib", cut)["identity_dlib"] < 0.3  # type: ignore[operator]


def test_without_a_face_only_whole_frames_count(tmp_path: Path) -> None:
    blind = seen(make_video(tmp_path / "blind.mp4", frames=4, size=(160, 120)))
    comparison = _comparison(blind, blind)
    for name in ("pixels", "drift", "sharpness", "lpips_alex", "effnet", "identity"):
        artifact = _family(name).measure(comparison)
        values = artifact.attributes["values"]
        whole = {metric for metric, value in values.items() if value is not None}
        assert whole == {metric for metric in values if metric.endswith("_full")}
        reasons = artifact.attributes["reasons"]
        assert all("face" in reasons[metric] for metric in set(values) - whole)
    artifact = find_family("fid").measure(comparison)
    pooled = find_family("fid").pooled
    assert pooled is not None and set(pooled([artifact])) == {"fid_full"}


def test_networks_see_what_their_papers_say(compare: Compare, pictures: list[Rgb]) -> None:
    """Whole frames in Inception, aligned faces in ArcFace: against the plain procedure."""
    comparison = compare()
    clip = load_timeline(comparison.result.timeline)
    frames = [frame.rgb() for frame in read_frames(comparison.result.video.path, clip, 0, FRAMES)]
    features = find_family("fid").measure(comparison).read("result_full")
    network = load_network("fid_inception_v3")
    with torch.inference_mode():
        image = torch.from_numpy(frames[1]).permute(2, 0, 1)[None].float() / 255
        np.testing.assert_allclose(features[1], network(image)[0].numpy(), rtol=1e-3, atol=1e-4)
    meshes = comparison.result.landmarks.read("landmarks")
    network = load_network("arcface_r50_ms1mv3")
    found = find_family("identity").measure(comparison)
    (kind, key) = found.manifest.inputs["result"]
    embedding = Store(found.store_url).get(kind, key).read("embedding")
    points = five_points(meshes)[2, :, :2] - 0.5
    face = aligned(frames[2], points)
    with torch.inference_mode():
        plain = network(torch.from_numpy(face).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
        np.testing.assert_allclose(embedding[2], (plain / plain.norm()).numpy(), atol=1e-3)


def test_similarity_is_found_again() -> None:
    turn = 1.7 * np.exp(0.4j)
    there = (TEMPLATE @ [1, 1j]) * turn + (5 - 3j)
    points = np.stack([there.real, there.imag], axis=1)
    moved = similarity(TEMPLATE, points)
    np.testing.assert_allclose(TEMPLATE @ moved[:, :2].T + moved[:, 2], points, atol=1e-9)
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_frames_stand_beside_those_of_their_time(tmp_path: Path) -> None:
    fast = Source.of(make_video(tmp_path / "fast.mp4", frames=12, rate=50))
    slow = Source.of(make_video(tmp_path / "slow.mp4", frames=5, rate=25))
    clips = [timeline(fast), timeline(slow)]
    rows = match(*clips).read("reference")
    fast_clip, slow_clip = map(load_timeline, clips)
    found = [
        (row, frame.index, beside.index)
        for row, frame, beside in pairs((fast, fast_clip), (slow, slow_clip), rows)
    ]
    assert [row for row, _, _ in found] == list(range(10))  # the slow one has ended
    assert all(row == index for row, index, _ in found)
    assert [beside for _, _, beside in found] == rows[:10].tolist()
    wanted = [1, 1, 4]
    assert [frame.index for frame in some_frames(slow, slow_clip, wanted)] == wanted
    assert spread(np.arange(100), 4).tolist() == [12, 37, 62, 87]
    assert spread(np.arange(3), 4).tolist() == [0, 1, 2]


def test_families_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_family("lpips_alex").missing() is None
    assert "dubflow weights" in (find_family("lpips_vgg").missing() or "")
    nothing = SimpleNamespace(find_spec=lambda name: None)
    monkeypatch.setattr("tasks.metrics.family.importlib.util", nothing)
    for name in ("effnet", "effnet_frechet", "identity_dlib"):
        assert find_family(name).missing() == "pip install 'dubflow[metrics]'"


def test_names_are_told_apart_and_light() -> None:
    assert set(PERFECT) <= set(families())
    names = [metric.name for family in families().values() for metric in family.metrics]
    assert len(names) == len(set(names))
    with pytest.raises(SettingsError, match="no family 'psnr' of metrics; there is drift, "):
        find_family("psnr")
    heavy = ("torch", "skimage", "scipy.ndimage", "dlib", "mediapipe", "librosa")
    code = (
        "import sys; from tasks.metrics import families; families()\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert not ran.stderr
