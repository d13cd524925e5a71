"""Meta Talk from weights to dubbed frames: of one's own training, and of AudioDVP's layouts."""

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from flows.dub import dub
from flows.dub_inputs import input_faults
from flows.dub_report import DubReport
from flows.methods import method_settings
from flows.methods.meta_talk import MetaTalkSettings, training_faces
from flows.seen import see
from flows.settings import DubSettings
from models.face_fit.settings import FitSettings
from models.faces.crop.crop import pixel_matrix
from models.faces.settings import BlendSettings
from models.meta_talk.settings import FaceSettings
from models.published import build_trained
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import SettingsError
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.engine.open_run import open_run
from tasks.engine.stage import Shard
from tasks.result.composite import composed
from tasks.source.fitted import fit_face
from tests.flows.conftest import computed
from tests.media_factory import faces as example_faces
from tests.media_factory import make_video, variable_times
from tests.published_weights import add_filled, write_registry

pytestmark = pytest.mark.dub

QUICK: dict[str, Any] = {"person_frames": 4, "person_iterations": 2, "iterations": 1}
Make = Callable[..., DubSettings]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """AudioDVP's renderer with few channels: at full size (see tests/goldens) it takes seconds."""
    from models import published

    whole = published._NETWORKS["audiodvp_nfr_generator"]
    few = whole._replace(arguments={"width": 4})
    monkeypatch.setitem(published._NETWORKS, "audiodvp_nfr_generator", few)


def write_trained(name: str, config: dict[str, Any], folder: Path, **told: Any) -> Path:
    """A file as training writes it, with weights of a fixed seed.

    Args:
        told: Of the data that it was trained on.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_trained(name, config)
    metadata = {
        "network": name,
        "config": json.dumps(config),
        "licence": "CC0",
        "trained_on": json.dumps(told),
    }
    path = folder / f"{name}.safetensors"
    save_file(network.state_dict(), path, metadata=metadata)
    return path


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a run that trained both networks a little."""

    return partial(write_run, tmp_path)


def write_run(
    parent: Path,
    size: dict[str, Any] | None = None,
    faces: dict[str, Any] | None = None,
    **told: Any,
) -> Path:
    """A folder of a run that has trained both networks.

    Args:
        size: Of the renderer.
        faces: How its faces were drawn.
        told: Of the data that they were trained on.
    """
    folder = parent / "run"
    folder.mkdir()
    hears = {"features": "logmel80", "width": 4}
    write_trained("meta_talk_expression", hears, folder, **told)
    faces = faces or {"side_px": 256, "zoom": 2.0, "opened": -2.0}
    sees = {"width": 4, "input": "render"} | (size or {})
    write_trained("meta_talk_renderer", sees, folder, faces=faces, **told)
    files = {name: f"meta_talk_{name}.safetensors" for name in ("expression", "renderer")}
    (folder / "method.yaml").write_text(yaml.safe_dump({**files, "fit": QUICK, "smooth": 2}))
    return folder


@pytest.fixture
def make(settings: Make) -> Make:
    """Settings of a dub of 12 frames."""

    def make(method: str = "meta_talk", **changes: Any) -> DubSettings:
        given = {"method": method, "sync": {"end_seconds": 0.48}, "encode": {"crf": 0}}
        return settings(**(given | changes))

    return make


def artifact(settings: DubSettings, report: DubReport, kind: str) -> Artifact:
    """What a dub made last of that kind."""
    key = [stage.key for stage in report.stages if stage.name == kind][-1]
    return Store(settings.store).get(kind, key)


def test_a_run_is_a_preset_below_what_is_set(run_of: Callable[..., Path]) -> None:
    run = run_of()
    found = method_settings("meta_talk", {"run": str(run), "paste": "published"})
    assert isinstance(found, MetaTalkSettings)
    assert found.renderer == str(run / "meta_talk_renderer.safetensors")
    assert (found.smooth, found.paste, found.fit.iterations) == (2, "published", 1)
    assert method_settings("meta_talk", {"run": run, "smooth": 0}).model_dump()["smooth"] == 0
    with pytest.raises(SettingsError, match=r"holds no method.yaml: give a folder that `dubflow"):
        method_settings("meta_talk", {"run": str(run / "elsewhere")})


def test_without_a_run_one_is_told_to_make_it(make: Make) -> None:
    (fault,) = input_faults(make())
    assert "dubflow personalise" in fault and "method_settings.run=RUN" in fault
    with pytest.raises(SettingsError, match="knows no face until it is trained"):
        dub(make())


@pytest.mark.parametrize("borrows", [False, pytest.param(True, marks=pytest.mark.long)])
def test_only_the_lower_face_changes(
    make: Make, run_of: Callable[..., Path], borrows: bool
) -> None:
    size = {"input": "render_and_exemplar" if borrows else "render", "window": 1}
    given = make(method_settings={"run": str(run_of(size))})
    report = dub(given)
    assert report.valid_frames == 12
    assert ("lenders" in {stage.name for stage in report.stages}) == borrows
    render, wanted = (artifact(given, report, k) for k in ("render", "meta_talk_expression"))
    assert render.sizes["y"] == 256 and wanted.sizes["frame"] == render.sizes["frame"] == 12
    delta = wanted.read("delta")
    assert np.isfinite(delta).all() and (np.ptp(delta, axis=0) > 0).any()
    before, after = (pictures(path) for path in (given.video, given.output))
    changed = np.abs(before[:12].astype(int) - after).max(-1) > 2
    assert changed.any((1, 2)).all()
    assert not changed[:, :100].any(), "nothing above the nose"
    assert computed(dub(given)) == set(), "all is in the store"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "side"), [((399, 301), 256), ((399, 301), 768), ((1920, 1080), 256)]
)
def test_any_video_keeps_all_but_the_lower_face(
    make: Make, tmp_path: Path, size: tuple[int, int], side: int
) -> None:
    """Variable rate, a cut, four of ten frames without a face; pixels outside the mask stay."""
    shown = list(islice(example_faces(*size), 30))

    def draw(index: int, width: int, height: int) -> np.ndarray:
        if 4 <= index < 8:
            return np.full((height, width, 3), 90, np.uint8)
        return shown[index] if index < 4 else shown[29 - index][:, ::-1]

    video = make_video(
        tmp_path / "film.mp4",
        frames=10,
        size=size,
        draw=draw,
        pts=variable_times(10),
        time_base=Fraction(1, 600),
        pix_fmt="yuv444p",
    )
    faces = {"side_px": side, "zoom": 2.0, "opened": -2.0}
    run = write_run(tmp_path, {"input": "render_and_exemplar"}, faces=faces)
    given = make(video=video, method_settings={"run": str(run)}, sync={})
    report = dub(given)
    assert (report.frames, report.valid_frames) == (10, 6)
    assert report.no_face_ranges == [(4, 8)]
    render = artifact(given, report, "render")
    assert render.sizes["y"] == side
    clip, wanted = scan(video), scan(given.output)
    np.testing.assert_array_equal(clip.seconds, wanted.seconds)
    dubbed = composed(read_frames(video, clip, 0, 10), render, Shard(0, 0, 10), BlendSettings())
    for row, (old, new) in enumerate(zip(read_frames(video, clip, 0, 10), dubbed, strict=True)):
        drawn = np.zeros(size[::-1], np.uint8)
        if render.read("valid")[row]:
            place = pixel_matrix(render.read("transform")[row])
            drawn = cv2.warpAffine(
                render.read("mask")[row], place, size, flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
            )
        around = cv2.dilate(drawn, np.ones((5, 5), np.uint8)) > 0
        same = (old.rgb() == new.rgb()).all(-1)
        assert same[~around].all() and same.all() == (row in range(4, 8))


def pictures(path: Path) -> np.ndarray:
    """Frames (frame, y, x, 3) RGB."""
    clip = scan(path)
    return np.stack([each.rgb() for each in read_frames(path, clip, 0, len(clip.pts))])


def test_another_person_is_refused_unless_forced(make: Make, run_of: Callable[..., Path]) -> None:
    run = run_of(person="0" * 32)
    with pytest.raises(SettingsError, match=r"on another video.*personalise.*force=true"):
        dub(make(method_settings={"run": str(run)}))
    assert dub(make(method_settings={"run": str(run), "force": True})).valid_frames == 12


def test_another_basis_is_refused(make: Make, run_of: Callable[..., Path]) -> None:
    run = run_of(basis={"name": "own", "key": "0" * 40})
    with pytest.raises(SettingsError, match="another face basis"):
        dub(make(method_settings={"run": str(run), "force": True}))


def test_weights_of_another_network_are_refused(make: Make, run_of: Callable[..., Path]) -> None:
    run = run_of()
    swapped = {"renderer": str(run / "meta_talk_expression.safetensors")}
    with pytest.raises(SettingsError, match="of meta_talk_expression, not of meta_talk_renderer"):
        dub(make(method_settings={"run": str(run)} | swapped))


@pytest.fixture
def published_networks(
    shared_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrow: None
) -> Iterator[None]:
    """AudioDVP's networks in the store, from files as published."""
    names = ("audiodvp_atnet", "audiodvp_expression", "audiodvp_nfr_generator")
    registry = write_registry(tmp_path / "own.yaml", *names)
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(registry))
    for name in names:
        add_filled(Store(str(shared_store)), name, tmp_path)
    yield


@pytest.mark.long
def test_audiodvp_dubs_with_its_published_files(make: Make, published_networks: None) -> None:
    given = make("audiodvp", method_settings={"fit": QUICK})
    report = dub(given)
    assert report.valid_frames == 12
    render = artifact(given, report, "render")
    assert render.attributes["paste"] == "unmatched" and render.sizes["y"] == 256
    assert "atnet_features" in {stage.name for stage in report.stages}


@pytest.mark.long
def test_training_borrows_no_mouth_from_nearby(settings: Make) -> None:
    """2.4 s of video, of which each frame borrows from what is more than 1 s away."""
    given = settings()
    mesh = FitSettings.model_validate(QUICK | {"mode": "mesh"})
    with open_run(Store(given.store), workers=2):
        seen = see(Source.of(given.video))
        faces = training_faces(seen, fit_face(seen, mesh), FaceSettings())
    photo, lent, mask = (faces.read(name) for name in ("photo", "lent", "mask"))
    assert faces.read("valid").all() and not lent[mask == 0].any()
    off = np.abs(photo.astype(int) - lent)[mask > 0].mean()
    assert 0.5 < off < 12, "its own mouth would be nearer, another face further"
