"""The fit by networks, by FAN's landmarks and on a user's basis; and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from flows.seen import see
from models.face_fit.settings import FitSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError, MissingWeights
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.inference.runner import Runner
from tasks.source import landmarks68, regressed
from tasks.source.face_basis import face_basis, own_basis_key
from tasks.source.fitted import Fitted, fit_face
from tasks.source.landmarks import LANDMARKS
from tasks.source.published_basis import published_basis
from tasks.source.seen import Seen
from tasks.source.timeline import timeline
from tests.made_up_bfm import write_bfm
from tests.media_factory import make_video
from tests.published_weights import add_filled, write_registry
from viewer.drawings.draw import draw

FRAMES, KNOWN = 12, slice(0, 3)
QUICK = {"person_frames": 3, "person_iterations": 3, "iterations": 2}


@stage(LANDMARKS, version=1)
def few(landmarks: Artifact) -> Made:
    """Landmarks of some frames alone."""
    arrays = {name: landmarks.read(name) for name in LANDMARKS.arrays}
    for values in arrays.values():
        values[KNOWN.stop :] = 0
    return Made(arrays)


@pytest.fixture(scope="module")
def bfm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bfm(tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A video whose face is seen in three frames, in a run."""
    folder = tmp_path_factory.mktemp("fit")
    path = make_video(folder / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True)
    with open_run(Store(folder / "store"), workers=2):
        whole = see(Source.of(path))
        yield replace(whole, landmarks=few(whole.landmarks))


def settings(**changes: Any) -> FitSettings:
    return FitSettings.model_validate(QUICK | changes)


def check_drawn(fitted: Fitted, folder: Path) -> None:
    with open_run(Store(fitted.fit.store_url)) as run:
        draw(run.store, fitted.fit, folder / "sheet.png")
    assert (folder / "sheet.png").stat().st_size > 5_000


@pytest.mark.long
def test_faces_are_fitted_on_a_users_basis(seen: Seen, bfm: Path, tmp_path: Path) -> None:
    fitted = fit_face(seen, settings(basis=str(bfm)))
    assert fitted.fit.read("valid")[KNOWN].all()
    assert np.median(fitted.fit.read("landmark_error")[KNOWN]) < 1.5
    told = fitted.fit.attributes
    assert told["basis"] == "bfm" and told["basis_key"] != own_basis_key()
    model = face_basis(told["basis"], told["basis_key"])
    assert model.n_vertices == 35_709
    check_drawn(fitted, tmp_path)
    elsewhere = bfm.rename(tmp_path / "moved.mat")
    assert fit_face(seen, settings(basis=str(elsewhere))).fit.key == fitted.fit.key
    elsewhere.rename(bfm)
    again = fit_face(seen, settings(basis=str(bfm)), frozen=fitted)
    np.testing.assert_array_equal(again.fit.read("rotation"), fitted.fit.read("rotation"))


def test_what_is_no_basis_is_refused(seen: Seen, tmp_path: Path) -> None:
    for name, content in (("text.mat", b"no matlab file" * 20), ("short.mat", b"x")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} is no face basis: .*BFM_model_front.mat"):
            published_basis(Source.of(tmp_path / name))
    with pytest.raises(InputError, match=r"another basis .bfm 0000"):
        face_basis("bfm", "0" * 40)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mode": "mesh", "basis": "bfm.mat"}, "own basis alone"),
        ({"mode": "regressor"}, "set basis to your file"),
    ],
)
def test_modes_that_do_not_fit_the_basis_are_refused(changes: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(**changes)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mode": "network"}, "audiodvp_resnet50_vggface2"),
        ({"mode": "regressor", "basis": "bfm.mat"}, "deep3d_recon"),
        ({"landmarks": "fan"}, "fan_2dfan4"),
    ],
)
def test_missing_weights_are_named(
    seen: Seen, bfm: Path, changes: dict[str, Any], name: str
) -> None:
    if "basis" in changes:
        changes = changes | {"basis": str(bfm)}
    with pytest.raises(MissingWeights, match=f"{name} are missing: .*dubflow weights"):
        fit_face(seen, settings(**changes))
    assert settings(**changes).weights == (name,)


def made_of(network: nn.Module) -> Any:
    """A network in place of one that takes seconds a frame."""
    return lambda *given, **named: Runner(network, DeviceSettings(device="cpu"))


@stage(LANDMARKS, version=1)
def boxed(frames: int) -> Made:
    """A face between (60, 40) and (140, 160) in the first frame."""
    sizes = {**LANDMARKS.sizes, "frame": frames}
    arrays = {
        name: np.zeros(LANDMARKS.shape(name, sizes), spec.dtype)
        for name, spec in LANDMARKS.arrays.items()
    }
    arrays["landmarks"][:] = [100, 90, 0]
    arrays["landmarks"][:, :2, :2] = [[60, 40], [140, 160]]
    arrays["valid"][0] = True
    return Made(arrays)


class Brightness(nn.Module):
    """Heatmaps that are highest where the square is brightest."""

    def forward(self, square: torch.Tensor) -> torch.Tensor:
        grey = square.permute(0, 3, 1, 2).float().mean(1, keepdim=True)
        return nn.functional.avg_pool2d(grey, 4).expand(-1, 68, -1, -1)


def test_heatmaps_are_found_again_in_the_frame(
    seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dotted(index: int, width: int, height: int) -> np.ndarray:
        frame = np.zeros((height, width, 3), np.uint8)
        return cv2.circle(frame, (120, 130), 4, (255, 255, 255), -1)

    monkeypatch.setattr(landmarks68, "network_runner", made_of(Brightness()))
    video = Source.of(make_video(tmp_path / "dot.mp4", frames=2, size=(200, 200), draw=dotted))
    found = landmarks68.landmarks68(
        video, timeline(video), landmarks=boxed(2), weights=seen.timeline
    )
    assert found.read("valid").tolist() == [True, False]
    points = found.read("landmarks")
    assert not points[1].any()
    np.testing.assert_allclose(points[0], np.tile([120.5, 130.5], (68, 1)), atol=1.5)


class Shifted(nn.Module):
    """Deep3D's coefficients of the mean face, a little off the middle."""

    def forward(self, square: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(len(square), 257)
        found[:, 254] = 0.02
        return found


def test_deep3d_gives_a_fit_of_the_users_basis(
    seen: Seen, bfm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regressed, "network_runner", made_of(Shifted()))
    monkeypatch.setattr("tasks.source.fitted.find_weights", lambda name: seen.timeline)
    fitted = fit_face(seen, settings(mode="regressor", basis=str(bfm)))
    assert fitted.fit.attributes["basis"] == "deep3d"
    assert fitted.fit.read("valid")[KNOWN].all(), "a mean face is near enough to this one"
    assert fitted.fit.read("translation")[KNOWN].any()
    assert not fitted.fit.read("delta").any() and not fitted.person.read("alpha").any()
    check_drawn(fitted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mode": "network", "network": {"epochs": 2}}, "audiodvp_resnet50_vggface2"),
        ({"mode": "regressor"}, "deep3d_recon"),
        ({"mode": "mesh", "landmarks": "fan"}, "fan_2dfan4"),
    ],
)
def test_published_networks_run(
    seen: Seen,
    bfm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    name: str,
) -> None:
    """With made-up weights in the published layout: what they say is nothing, but it is said."""
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", name)))
    if changes["mode"] == "regressor":
        changes = changes | {"basis": str(bfm)}
    store = Store(seen.timeline.store_url)
    add_filled(store, name, tmp_path)
    with open_run(store):
        fitted = fit_face(seen, settings(**changes))
    assert not fitted.fit.read("valid")[KNOWN.stop :].any()
    for name in ("alpha", "beta"):
        assert np.isfinite(fitted.person.read(name)).all()
    if changes["mode"] == "network":
        assert fitted.person.kind == "face_fit_network" and fitted.person.read("alpha").any()
    given = next(
        i for n, i in fitted.fit.manifest.inputs.items() if n in ("regressed", "landmarks68")
    )
    made = store.get(*given)
    numbers = made.read("coefficients" if given[0] == "regressed" else "landmarks")
    assert np.isfinite(numbers).all() and numbers[KNOWN].any() and not numbers[KNOWN.stop :].any()


def test_a_random_start_needs_no_weights() -> None:
    assert settings(mode="network", network={"random_start": True}).weights == ()
