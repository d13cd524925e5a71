"""VideoReTalking from weights to dubbed frames: geometry by fakes, cuts and gaps, every switch."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat
from torch import nn
from torch.nn import functional

from benchmarks import sources
from flows.dub import dub
from flows.dub_inputs import files_of, input_faults
from flows.dub_report import DubReport
from flows.methods import method_settings, video_retalking
from flows.seen import see
from flows.settings import DubSettings, read_settings
from models import published
from models.audio.mel import mel_spectrogram
from models.deep3d.alignment import align
from models.faces.blend import blend
from models.faces.crop.crop import pixel_matrix
from models.faces.crop.recast import between, recast
from models.ganimation.generator import Layers
from models.published import build, build_trained
from models.video_retalking import enet, lnet
from models.video_retalking.alignment import FACE_SIDE
from models.video_retalking.enet import ENet
from models.video_retalking.settings import DNetSize, ENetSize, LNetSize
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.weights.registry import read_registry
from tasks.engine.open_run import open_run
from tasks.engine.stage import Shard, Stage
from tasks.inference import shared
from tasks.result.composite import rendered_rows
from tasks.source.face_basis import own_basis_key
from tasks.weights.intake import add_weights
from tasks.weights.networks import find_weights, load_network
from tests.flows.conftest import computed, cut_wav
from tests.flows.methods.test_meta_talk import write_trained
from tests.flows.runtime.test_kill import finished_shards
from tests.media_factory import EXAMPLE, content, faces, make_video
from tests.published_weights import add_filled, trained_file, write_registry

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]
FRAMES = 5
NETWORKS = ("vrt_face3d", "vrt_expression", "vrt_dnet", "vrt_lnet", "vrt_enet")
NAMES = (*NETWORKS, "vrt_ganimation", "gpen_bfr_512", "gfpgan_v1.3", "parsenet", "fan_2dfan4")
PLAIN = {"teeth": "none", "enhance_reference": "none"}
EXPRESSIONS = {"expression_center": 0.1, "expression_mouth": 0.9}
NARROW: dict[Any, dict[str, Any]] = {
    lnet: {"LNetSize": lambda: LNetSize(width=4, residuals=1, attention=1)},
    enet: {"ENetSize": lambda: ENetSize(width=4)},
}
FULL = {module: {name: getattr(module, name) for name in NARROW[module]} for module in NARROW}
FULL_MAKERS = {name: published._NETWORKS[name] for name in ("deep3d_recon_resnet50", "vrt_dnet")}


class Reader(nn.Module):
    """A face's colours in place of its coefficients, by no ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 257)

    def forward(self, face: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(face.mean((2, 3)))
        return found


class Mover(nn.Module):
    """Colours faces by their coefficients, in place of D-Net's flow."""

    side = FACE_SIDE

    def __init__(self, size: DNetSize | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(73, 3)

    def forward(self, image: torch.Tensor, coefficients: torch.Tensor) -> dict[str, torch.Tensor]:
        colours = self.layer(coefficients.mean(2))[:, :, None, None]
        return {"fake_image": (image + 0.2 * colours.sin()).clamp(-1, 1)}


class Frown(nn.Module):
    """In place of GANimation: half as much of the face, half of a grey that the units set."""

    side, colours = 128, "bgr"

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.linspace(0, 1, 17))

    def forward(self, image: torch.Tensor, units: torch.Tensor) -> Layers:
        grey = (units @ self.weights)[:, None, None, None]
        return Layers(grey.expand_as(image), torch.full_like(image[:, :1], 0.5))


class Striper(nn.Module):
    """In place of GFPGAN and GPEN: dark stripes of 4 px."""

    def __init__(self) -> None:
        super().__init__()
        self.dark = nn.Parameter(torch.full((), 0.8))

    def forward(self, image: torch.Tensor, **_: Any) -> list[torch.Tensor]:
        return [image - self.dark * (torch.arange(image.shape[-1]) // 4 % 2)]


class Parser(nn.Module):
    """In place of ParseNet: skin, and a mouth where GFPGAN's crop has it."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = nn.Parameter(torch.arange(19.0))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        label = torch.zeros_like(image[:, :1])
        label[:, :, 200:450, 160:360] = 1
        label[:, :, 350:400, 210:310] = 11
        return -(label - self.labels[:, None, None]).abs(), image


class Marker(nn.Module):
    """In place of FAN: heatmaps of 64 x 64 with eyes, nose and mouth where faces have them."""

    def __init__(self) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.ones(()))
        parts = {(32, 56): 17, (32, 20): 10, (32, 36): 9, (22, 26): 6, (42, 26): 6}
        places = [place for place, points in parts.items() for _ in range(points)]
        mouth = [(32, 46)] * 20
        mouth[0], mouth[6] = (25, 46), (39, 46)
        self.columns, self.lines = (list(each) for each in zip(*places, *mouth, strict=True))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        maps = torch.zeros(len(image), 68, 64, 64)
        maps[:, torch.arange(68), self.lines, self.columns] = self.height
        return [maps]


SMALL = {
    "fan_2dfan4": "Marker",
    "deep3d_recon_resnet50": "Reader",
    "vrt_dnet": "Mover",
    "ganimation_generator": "Frown",
    "gpen_bfr_512": "Striper",
    "gfpgan_v1clean_512": "Striper",
    "parsenet": "Parser",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that has small networks' weights in the published layout."""
    folder = tmp_path_factory.mktemp("weights")
    store = Store(folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_WEIGHTS", str(write_registry(folder / "own.yaml", *NAMES)))
        add_small(store, folder, patch)
        yield store


def add_small(store: Store, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Add the method's networks, small as long as the patch holds, to a store."""
    shrink(patch)
    for name in NAMES:
        add_random(store, name, folder)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make the method's networks small as long as the patch holds."""
    for module, constants in NARROW.items():
        for name, value in constants.items():
            patch.setattr(module, name, value)
    for network, name in SMALL.items():
        small = published._Maker(__name__, name)
        patch.setitem(published._NETWORKS, network, small)


def add_random(store: Store, name: str, folder: Path) -> None:
    """Add the entry with weights of a fixed seed, from a file as published."""
    entry = read_registry()[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build(entry.network, **entry.arguments).state_dict()
    path = folder / entry.file
    if entry.formats == ["matlab"]:
        savemat(path, {key: np.full(value.shape, EXPRESSIONS[key]) for key, value in state.items()})
    else:
        nested: Any = {k: v for k, v in state.items() if not k.startswith("low_res.")}
        for prefix in entry.nesting.drop:
            nested = {f"{prefix}.{key}": value for key, value in nested.items()}
        nesting = entry.nesting.under[0]
        torch.save(nested if nesting == "." else {nesting: nested}, path)
    add_weights(store, name, path)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return make_video(path, frames=FRAMES, size=(400, 300), real_faces=True)


@pytest.fixture
def make(talk: Path, speech: Path, store: Store, tmp_path: Path) -> Make:
    def make(options: dict[str, Any] | None = None, **changes: Any) -> DubSettings:
        given = {
            "video": talk,
            "audio": speech,
            "output": tmp_path / "out.mp4",
            "store": store.url,
            "method": "video_retalking",
            "method_settings": PLAIN | (options or {}),
            "encode": {"crf": 0},
            "workers": 1,
        }
        return read_settings(None, [], given | changes)

    return make


def with_weights_alone(store: str, folder: Path) -> str:
    """A new store in the folder, with the weights of another."""
    shutil.copytree(Path(store) / "weights", folder / "weights")
    return str(folder)


def artifact(settings: DubSettings, report: DubReport, kind: str) -> Artifact:
    """What a dub made last of that kind."""
    key = [stage.key for stage in report.stages if stage.name == kind][-1]
    return Store(settings.store).get(kind, key)


def pictures(path: Path) -> np.ndarray:
    """All frames (frame, height, width, 3) RGB of a video."""
    clip = scan(path)
    return np.stack([f.rgb() for f in read_frames(path, clip, 0, len(clip.pts))])


class Same(nn.Module):
    """In place of D-Net: returns its source."""

    side = FACE_SIDE

    def forward(self, image: torch.Tensor, coefficients: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"fake_image": image}


class Target(ENet):
    """Returns the reference, as `change` leaves it."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        nn.Module.__init__(self)
        self.change, self.noise_sides = change, ()

    def forward(
        self, mel: torch.Tensor, faces: torch.Tensor, target: torch.Tensor, **_: Any
    ) -> Any:  # type: ignore[override]
        assert not faces[:, :3, 192:].any(), "the lower half is hidden"
        return self.change(target), target


CHANGES: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "right": ("none", lambda target: target),
    "swapped": ("fixed", lambda target: target.flip(1)),
    "shifted": ("random", lambda target: target.roll(12, 2)),
}
"""What E-Net does with its target; under a setting of its own, so that a store can hold all."""


@pytest.fixture(scope="module")
def faked(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store where networks are fakes, and a video without fine detail."""
    folder = tmp_path_factory.mktemp("faked")
    with_weights_alone(store.url, folder / "store")
    smooth = [cv2.GaussianBlur(each, (0, 0), 4) for each in islice(faces(400, 300), 4)]
    video = make_video(
        folder / "smooth.mp4",
        frames=4,
        size=(400, 300),
        draw=lambda index, width, height: smooth[index],
        pix_fmt="yuv444p",
        options={"crf": "0"},
    )
    return folder / "store", video


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_networks_that_change_nothing_give_the_source_back(
    make: Make, faked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    noise, how = CHANGES[change]
    fakes, load = {"vrt_dnet": Same(), "vrt_enet": Target(how)}, shared.load_network
    monkeypatch.setattr(shared, "_kept", {})
    monkeypatch.setattr(
        shared,
        "load_network",
        lambda weights: fakes.get(weights.manifest.parameters["network"]) or load(weights),
    )
    store, video = faked
    settings = make({"noise": noise}, video=video, store=str(store))
    report = dub(settings)
    assert report.valid_frames == 4
    render = artifact(settings, report, "render")
    for own, (mouth, transform, _) in zip(
        pictures(video), rendered_rows(render, Shard(0, 0, 4)), strict=True
    ):
        assert (mouth.mask > 200).mean() > 0.2
        new = blend([own], mouth, transform=transform)
        assert new is not None
        difference = np.abs(new.onto(own).astype(int) - own).max()
        assert difference <= 2 if change == "right" else difference > 20


SWITCHES: list[dict[str, Any]] = [
    {"dnet": False},
    {"enet": False},
    {"one_shot": True},
    {"template": "smile", "template_strength": 0.5},
    {"template": "person", "weights": {"expression": "none"}},
    {"smoothing": "none", "noise": "random"},
    {"keep_upper": True},
    {"landmarks": "fan"},
    {"upper_face": "sad", "upper_strength": 0.5},
    {"teeth": "gfpgan"},
    {"paste": "published"},
]


@pytest.mark.long
@pytest.mark.parametrize("options", SWITCHES, ids=str)
def test_a_switch_changes_the_faces_and_nothing_else(make: Make, options: dict[str, Any]) -> None:
    short = {"sync": {"end_seconds": 0.16}}
    plain, settings = make(**short), make(options, **short)
    usual = artifact(plain, dub(plain), "render").read("patch")
    report = dub(settings)
    render = artifact(settings, report, "render")
    assert report.valid_frames == 4
    made = render.read("patch")
    assert made.shape != usual.shape or (made != usual).any()
    own, new = pictures(settings.video)[:4], pictures(settings.output)
    changed = np.flatnonzero((own != new).any((0, 2, 3)))
    top = 150 if options == {"keep_upper": True} else 100
    assert changed.size and changed[0] > top and changed[-1] < 265


@pytest.mark.long
@pytest.mark.parametrize("paste", ["soft", "published"])
@pytest.mark.parametrize("enhancer", ["gpen", "gfpgan"])
def test_the_frozen_face_is_enhanced_where_it_is_face(
    make: Make, enhancer: str, paste: str
) -> None:
    options = {"enhance_reference": enhancer, "paste": paste}
    settings = make(options, sync={"end_seconds": 0.04})
    report = dub(settings)
    keys = [stage.key for stage in report.stages if stage.name == "stabilised"]
    before, after = (
        Store(settings.store).get("stabilised", key).read("face").astype(int) for key in keys
    )
    darker = (before - after).mean(-1)
    assert darker[:, 100:156, 100:156].mean() > 20
    assert darker.min() > -12 and not darker[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    if paste == "soft":
        points = artifact(settings, report, "vrt_cut").read("landmarks")[0]
        hull = np.zeros((256, 256), np.uint8)
        cv2.fillConvexPoly(hull, cv2.convexHull(np.round(points).astype(np.int32)), (1,))
        inside, near = cv2.erode(hull, np.ones((41, 41))), cv2.dilate(hull, np.ones((81, 81)))
        below = np.arange(256)[:, None] > points[17:27, 1].min()
        away = (near == 0) & below
        assert darker[0][inside > 0].mean() > 20
        assert away.mean() > 0.1 and not darker[0][away].any()


def test_skin_is_told_only_where_it_is_pasted_as_published() -> None:
    for options, told in (
        ({"teeth": "none"}, False),
        ({"teeth": "none", "paste": "published"}, True),
        ({"teeth": "gfpgan"}, True),
    ):
        settings = method_settings("video_retalking", options)
        assert isinstance(settings, video_retalking.VideoRetalkingSettings)
        assert ("parsenet" in video_retalking.weights(settings)) == told


@pytest.mark.long
def test_an_emotion_is_in_the_upper_half_alone(make: Make) -> None:
    short, made = {"sync": {"end_seconds": 0.04}}, {}
    for face in ("original", "angry", "surprise"):
        settings = make({"upper_face": face}, **short)
        made[face] = artifact(settings, dub(settings), "render")
    own = artifact(settings, dub(settings), "vrt_crops").read("face")[0, ..., ::-1]
    usual, *emotional = (render.read("patch")[0].astype(float) for render in made.values())
    for face, unit, place in zip(emotional, (0.3, 0.2), (2, 3), strict=True):
        grey = 255 * (1 + unit * place / 16) / 2
        np.testing.assert_allclose(face[:184], (own[:184] + grey) / 2, atol=1)
        np.testing.assert_array_equal(face[200:], usual[200:])
    settings = make({"upper_face": "sad", "keep_upper": False}, **short)
    report = dub(settings)
    assert "vrt_upper_face" not in {stage.name for stage in report.stages}
    np.testing.assert_array_equal(artifact(settings, report, "render").read("patch")[0], usual)


@pytest.mark.long
def test_all_networks_that_make_pictures_heed_the_precision(make: Make) -> None:
    options = {"enhance_reference": "gpen", "teeth": "gfpgan", "upper_face": "sad"}
    settings = make(options, precision="bfloat16", sync={"end_seconds": 0.04})
    made = [(s.name, Store(settings.store).get(s.name, s.key)) for s in dub(settings).stages]
    told = [name for name, artifact in made if "precision" in artifact.attributes]
    assert told == ["stabilised", "stabilised", "vrt_upper_face", "render", "render"]


def test_teeth_are_restored_in_a_crop_of_the_face(make: Make) -> None:
    settings = make({"teeth": "gfpgan"}, sync={"end_seconds": 0.04})
    report = dub(settings)
    keys = [stage.key for stage in report.stages if stage.name == "render"]
    before, after = (Store(settings.store).get("render", key) for key in keys)
    assert (before.sizes["y"], after.sizes["y"]) == (384, 512)
    transform = between(before.read("transform")[0], after.read("transform")[0])
    (mouth, *_), *_ = rendered_rows(before, Shard(0, 0, 1))
    moved, patch = recast(mouth, transform, 512), after.read("patch")[0].astype(int)
    teeth = np.zeros((512, 512), bool)
    teeth[365:385, 232:288] = True
    near = cv2.dilate(teeth.astype(np.uint8), np.ones((121, 121), np.uint8))
    away = (moved.mask == 255) & (near == 0)
    changed = np.abs(patch - moved.patch)
    assert changed[teeth].mean() > 20 and away.any() and changed[away].mean() < 4
    columns = patch[365:385, 232:288].mean((0, 2)).reshape(-1, 4).mean(1)
    assert np.abs(np.diff(columns)).min() > 20, "the stripes"


def test_the_template_is_what_all_faces_get(make: Make, talk: Path, tmp_path: Path) -> None:
    picture = tmp_path / "smile.png"
    cv2.imwrite(str(picture), pictures(talk)[3][..., ::-1])

    def expression(template: str, strength: float = 1.0) -> np.ndarray:
        options = {"template": template, "template_strength": strength}
        settings = method_settings("video_retalking", options)
        assert isinstance(settings, video_retalking.VideoRetalkingSettings)
        return video_retalking._template(seen, coefficients, settings).read("expression")

    with open_run(Store(make().store)):
        seen = see(Source.of(talk))
        settings = video_retalking.VideoRetalkingSettings()
        _, coefficients = video_retalking._coefficients(seen, settings)
        said = coefficients.read("coefficients")[:, 80:144]
        np.testing.assert_allclose(neutral := expression("neutral"), 0.1, rtol=1e-6)
        np.testing.assert_allclose(expression("smile"), 0.9, rtol=1e-6)
        assert np.abs(expression(str(picture)) - said[3]).max() < 0.02
        closed = expression("person")
        assert np.abs(said - closed).max(1).min() < 1e-6, (
            "one of five frames is the most closed fifth"
        )
        quarter = neutral + 0.25 * (closed - neutral)
        np.testing.assert_allclose(expression("person", 0.25), quarter, atol=1e-6)


@pytest.mark.long
def test_cuts_and_gaps_part_what_is_smoothed_cut_and_seen(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = list(islice(faces(400, 300), 14))
    windows = []

    class Listening(Same):
        def forward(
            self, image: torch.Tensor, coefficients: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            windows.append(coefficients.numpy())
            return {"fake_image": image}

    def draw(index: int, width: int, height: int) -> np.ndarray:
        if 9 <= index < 11:
            return np.full_like(example[0], 128)
        moved = np.roll(example[index], -40, 1)
        return moved[:, ::-1] if index < 5 else example[index]

    load = shared.load_network
    monkeypatch.setattr(shared, "_kept", {})
    monkeypatch.setattr(
        shared,
        "load_network",
        lambda weights: (
            Listening() if weights.manifest.parameters["network"] == "vrt_dnet" else load(weights)
        ),
    )
    video = make_video(tmp_path / "cut.mp4", frames=14, size=(400, 300), draw=draw)
    store = with_weights_alone(make().store, tmp_path / "store")
    settings = make(video=video, store=store, devices={"batch": 4})
    report = dub(settings)
    assert report.no_face_ranges == [(9, 11)]
    boxes = artifact(settings, report, "vrt_cut").read("box")
    assert len(np.unique(boxes[:5], axis=0)) == 1 and len(np.unique(boxes[[5, 8, 11]], axis=0)) == 1
    assert (boxes[0] != boxes[5]).any() and not boxes[9:11].any()
    said = artifact(settings, report, "coefficients").read("coefficients")
    seen = np.concatenate(windows)[-12:]
    rows = [*range(9), *range(11, 14)]
    for window, row in zip(seen, rows, strict=True):
        first, last = next((a, b) for a, b in ((0, 4), (5, 8), (11, 13)) if a <= row <= b)
        around = said[np.clip(np.arange(row - 13, row + 13), first, last)]
        np.testing.assert_allclose(window[64:67], around[:, 224:227].T)
        np.testing.assert_allclose(window[70:], around[:, 259:].T)
        np.testing.assert_allclose(window[:64], 0.1, rtol=1e-6)
    own, new = pictures(video), pictures(settings.output)
    same = [(a == b).all() for a, b in zip(own, new, strict=True)]
    assert same == [index in (9, 10) for index in range(14)]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["still", "tall", "large", "longer", "shorter"])
def test_any_video_keeps_its_frames(make: Make, tmp_path: Path, kind: str) -> None:
    speech = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 0.4)
    changes: dict[str, Any] = {"audio": speech}
    if kind == "still":
        changes["video"] = tmp_path / "still.png"
        cv2.imwrite(str(changes["video"]), next(faces(400, 300))[..., ::-1])
    elif kind == "tall":
        times = {"pts": [0, 40, 90, 110], "time_base": Fraction(1, 1000)}
        changes["video"] = make_video(
            tmp_path / "tall.mp4", frames=4, size=(300, 400), real_faces=True, **times
        )
    elif kind == "large":
        changes["video"] = make_video(
            tmp_path / "large.mp4", frames=3, size=(1920, 1080), real_faces=True
        )
    elif kind == "longer":
        changes["sync"] = {"mode": "loop", "end_seconds": 0.04}
    report = dub(make(**changes))
    assert report.valid_frames == report.frames > 0


def test_weights_are_asked_for_before_work_starts(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="dubflow weights add vrt_enet"):
        dub(make(store=str(tmp_path / "empty")))
    assert not list((tmp_path / "empty").rglob("manifest.json"))
    without = {"template": "smile", "weights": {"expression": "none"}}
    (fault,) = input_faults(make(without))
    assert "needs weights.expression" in fault
    assert files_of(make({"template": "no.png"}))[2:] == (Path("no.png"),)
    assert len(files_of(make())) == len(files_of(make({"template": "smile"}))) == 2
    (fault,) = input_faults(make({"template": "no.png"}))
    assert "nor a file" in fault


@pytest.mark.long
def test_a_dnet_of_ones_own_is_driven_by_the_fit_of_the_mesh(make: Make, tmp_path: Path) -> None:
    told = {"coefficients": "mesh", "basis": {"name": "own", "key": own_basis_key()}}
    own = write_trained("vrt_dnet", {}, tmp_path, **told)
    settings = make({"weights": {"dnet": str(own)}}, sync={"end_seconds": 0.16})
    report = dub(settings)
    assert report.valid_frames == 4
    said = artifact(settings, report, "coefficients")
    fit = artifact(settings, report, "face_fit")
    coefficients, inside = said.read("coefficients"), said.read("valid")
    assert inside.all()
    np.testing.assert_array_equal(coefficients[:, 80:144], fit.read("delta"))
    np.testing.assert_array_equal(coefficients[:, 254:257], fit.read("translation"))
    assert not artifact(settings, report, "vrt_template").read("expression").any()


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"coefficients": "mesh", "basis": {"name": "own", "key": "?"}}, "another face basis"),
        ({"coefficients": "mesh"}, "another face basis"),
        ({"coefficients": "bfm"}, "take a D-Net for network or mesh"),
    ],
)
def test_a_dnet_of_other_coefficients_is_refused(
    make: Make, tmp_path: Path, told: dict[str, Any], fault: str
) -> None:
    own = write_trained("vrt_dnet", {}, tmp_path, **told)
    with pytest.raises(SettingsError, match=fault):
        dub(make({"weights": {"dnet": str(own)}}))


def test_new_speech_reads_the_references_from_the_store(make: Make, tmp_path: Path) -> None:
    dub(make())
    other = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 3.2, 5.0)
    made = computed(dub(make(audio=other)))
    assert "render" in made
    assert not made & {"vrt_cut", "coefficients", "stabilised", "reference", "vrt_crops"}


def test_an_lnet_of_ones_own_training_speaks(make: Make, tmp_path: Path) -> None:
    path, size = tmp_path / "mine.safetensors", {"width": 4, "residuals": 1, "attention": 0}
    torch.manual_seed(0)
    network = build_trained("vrt_lnet", size)
    metadata = {"network": "vrt_lnet", "config": json.dumps(size), "licence": "CC0"}
    save_file(network.state_dict(), path, metadata=metadata)
    own = {"dnet": False, "enet": False, "teeth": "none", "weights": {"lnet": str(path)}}
    assert "render" in computed(dub(make(method_settings=own)))


@pytest.mark.long
def test_a_ganimation_of_ones_own_training_acts(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = published._Maker("models.ganimation.generator", "Generator")
    monkeypatch.setitem(published._NETWORKS, "ganimation_generator", maker)
    size = {"side": 32, "width": 2, "residuals": 1, "colours": "rgb"}
    own = trained_file(tmp_path / "mine.safetensors", "ganimation_generator", size)
    changes = {"upper_face": "angry", "weights": {"ganimation": own}}
    settings = make(changes, sync={"end_seconds": 0.16})
    report = dub(settings)
    acted, crops = (artifact(settings, report, kind) for kind in ("vrt_upper_face", "vrt_crops"))
    network = load_network(find_weights(own, store=Store(settings.store)))
    face = torch.from_numpy(crops.read("face", 0, 1)[..., ::-1].copy())
    image = face.permute(0, 3, 1, 2).float() / 127.5 - 1
    units = torch.zeros(1, 17)
    units[0, 2] = 0.3
    small = functional.interpolate(image, size=(32, 32), mode="bilinear", align_corners=False)
    color, attention = (
        functional.interpolate(each, size=(384, 384), mode="bilinear", align_corners=False)
        for each in network(small, units)
    )
    wanted = (attention * image + (1 - attention) * color + 1) * 127.5
    made = torch.from_numpy(acted.read("face", 0, 1)[..., ::-1].copy()).permute(0, 3, 1, 2)
    torch.testing.assert_close(made.float(), wanted, atol=0.6, rtol=0)


@pytest.mark.long
def test_landmarks_of_fan_mark_the_faces(make: Make) -> None:
    settings = make({"landmarks": "fan", "smoothing": "none"}, sync={"end_seconds": 0.04})
    report = dub(settings)
    cut, points = (artifact(settings, report, kind) for kind in ("vrt_cut", "landmarks68"))
    box, found = cut.read("box"), points.read("landmarks")
    assert cut.read("valid").all()
    zoom = FACE_SIDE / (box[:, None, 2:] - box[:, None, :2])
    expected = (found - box[:, None, :2]) * zoom
    np.testing.assert_allclose(cut.read("landmarks"), expected, rtol=1e-5, atol=1e-3)


@pytest.fixture(scope="module")
def three_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut at frame 30, and nobody there from 50 to 55."""
    own = list(islice(faces(400, 300), 75))

    def draw(index: int, width: int, height: int) -> np.ndarray:
        if 50 <= index < 55:
            return np.full_like(own[0], 128)
        return own[index] if index < 30 else np.ascontiguousarray(own[index][:, ::-1])

    path = tmp_path_factory.mktemp("media") / "three seconds.mp4"
    return make_video(path, frames=75, size=(400, 300), draw=draw)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, *SWITCHES], ids=str)
def test_a_switch_dubs_three_seconds_twice_alike(
    make: Make, three_seconds: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    sound = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 3.3)
    written = []
    for name in "ab":
        store = with_weights_alone(make().store, tmp_path / name)
        settings = make(options, video=three_seconds, audio=sound, store=store)
        report = dub(settings)
        written.append(content(settings.output))
    assert written[0] == written[1]
    assert report.no_face_ranges == [(50, 55)]
    check_outside(settings, report)


def check_outside(settings: DubSettings, report: DubReport) -> None:
    """All pixels are the source's but those that the render's mask reaches."""
    render = artifact(settings, report, "render")
    own, new = pictures(settings.video), pictures(settings.output)
    rows = rendered_rows(render, Shard(0, 0, len(own)))
    for before, after, (mouth, transform, valid) in zip(own, new, rows, strict=True):
        reached = np.zeros(before.shape[:2], np.uint8)
        if valid:
            size, back = reached.shape[::-1], cv2.WARP_INVERSE_MAP
            seen = np.asarray(mouth.mask > 0, np.uint8)
            place = pixel_matrix(transform).astype(float)
            reached = np.asarray(cv2.warpAffine(seen, place, size, flags=back), np.uint8)
            reached = cv2.dilate(reached, np.ones((9, 9), np.uint8))  # 4:2:0, and its filters
        changed = (before != after).any(-1)
        assert not (changed & (reached == 0)).any()
        assert changed.any() == valid


STAGES = ("crops", "cut", "coefficients", "template", "stabilised", "enhanced", "reference")
STAGES += ("upper_face", "render", "finished")
IN_CHILDREN = multiprocessing.get_context("forkserver")
IN_CHILDREN.set_forkserver_preload([__name__])


def dub_in_child(settings: DubSettings, registry: str, dies_in: str | None) -> None:
    """Dub with small networks; `kill -9` after the first range of that stage."""
    call = Stage._call_body

    def dying(self: Stage, arguments: Any, **provided: Any) -> Any:
        made = call(self, arguments, **provided)
        if not self.address.endswith(f":vrt_{dies_in}"):
            return made
        return one_of(made) if self.ranged else os.kill(os.getpid(), signal.SIGKILL)

    def one_of(blocks: Iterator[Any]) -> Iterator[Any]:
        yield next(blocks)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_WEIGHTS", registry)
        patch.setattr(Stage, "_call_body", dying)
        shrink(patch)
        dub(settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings.output.with_suffix(".peak").write_text(str(peak))


def in_child(settings: DubSettings, dies_in: str | None = None) -> None:
    registry = os.environ["DUBFLOW_WEIGHTS"]
    child = IN_CHILDREN.Process(target=dub_in_child, args=(settings, registry, dies_in))
    child.start()
    child.join()
    assert child.exitcode == (0 if dies_in is None else -signal.SIGKILL)


@pytest.mark.slow
def test_killed_in_each_stage_it_resumes(make: Make, three_seconds: Path, tmp_path: Path) -> None:
    options = {"enhance_reference": "gpen", "teeth": "gfpgan", "upper_face": "sad"}
    settings = {
        name: make(
            options,
            video=three_seconds,
            store=with_weights_alone(make().store, tmp_path / name),
            output=tmp_path / f"{name}.mp4",
        )
        for name in ("whole", "killed")
    }
    in_child(settings["whole"])
    store, before = Path(settings["killed"].store), dict[str, int]()
    for stage in (*STAGES, None):
        in_child(settings["killed"], stage)
        after = finished_shards(store)
        assert {name: after[name] for name in before} == before, "finished work was done again"
        assert len(after) > len(before)
        before = after
    assert content(settings["killed"].output) == content(settings["whole"].output)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(make: Make, tmp_path: Path) -> None:
    options, peaks = {"enhance_reference": "gpen", "teeth": "gfpgan"}, []
    for seconds in (5, 60):
        video = tmp_path / f"{seconds}.mp4"
        settings = make(
            options,
            video=sources.talking_video(video, seconds=seconds, width=400, height=300),
            audio=sources.speech(video.with_suffix(".wav"), seconds=seconds),
            store=with_weights_alone(make().store, tmp_path / f"store {seconds}"),
            output=tmp_path / f"out {seconds}.mp4",
        )
        in_child(settings)
        peaks.append(int(settings.output.with_suffix(".peak").read_text()))
    assert peaks[1] < 1.15 * peaks[0], peaks


@pytest.mark.slow
def test_full_networks_equal_the_published_procedure(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coefficients, D-Net, L-Net and E-Net of one frame after the other, as the public code does.

    Cut, landmarks, reference and boxes are taken as they are: these differ on purpose.
    """
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", *NETWORKS)))
    for module, constants in FULL.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)
    for name, maker in FULL_MAKERS.items():
        monkeypatch.setitem(published._NETWORKS, name, maker)
    monkeypatch.setattr(shared, "_kept", {})
    store, networks = Store(tmp_path / "store"), {}
    for name in NETWORKS:
        if name == "vrt_expression":
            add_random(store, name, tmp_path)
            continue
        add_filled(store, name, tmp_path)
        networks[name] = load_network(find_weights(name, store=store), store=store)
    settings = make({"noise": "none"}, store=store.url, sync={"end_seconds": 0.06})
    report = dub(settings)
    cut, said, stabilised, crops, reference, render = (
        artifact(settings, report, kind)
        for kind in ("vrt_cut", "coefficients", "stabilised", "vrt_crops", "reference", "render")
    )
    plain = []
    for face, points in zip(cut.read("face"), cut.read("landmarks"), strict=True):
        up = np.stack([points[:, 0] - 0.5, 255.5 - points[:, 1]], 1)
        found = align(face[..., ::-1], up)
        image = torch.from_numpy(found.image.copy()).permute(2, 0, 1)[None] / 255
        plain.append(np.append(networks["vrt_face3d"](image).numpy(), found.transform))
    np.testing.assert_allclose(said.read("coefficients"), plain, rtol=1e-3, atol=1e-3)
    semantic = np.array(plain)
    semantic[:, 80:144] = 0.1
    mel = mel_spectrogram(decode_audio(settings.audio, rate=16000, mono=True)[:, 0]).T
    for row in range(2):
        around = semantic[[min(max(i, 0), FRAMES - 1) for i in range(row - 13, row + 13)]]
        window = np.concatenate(
            [around[:, a:b] for a, b in ((80, 144), (224, 227), (254, 257), (259, 262))], 1
        )
        rgb = torch.from_numpy(cut.read("face")[row][..., ::-1].copy()).permute(2, 0, 1)
        made = networks["vrt_dnet"](
            (rgb / 255.0 - 0.5)[None] / 0.5, torch.FloatTensor(window.T)[None]
        )["fake_image"][0]
        frozen = ((made.permute(1, 2, 0).numpy() + 1) / 2 * 255).clip(0, 255).astype(np.uint8)
        near = np.abs(frozen[..., ::-1].astype(int) - stabilised.read("face")[row]) <= 2
        assert near.all(-1).mean() > 0.999
        own, other = crops.read("face")[row], reference.read("face")[row]
        masked = own.copy()
        masked[192:] = 0
        both = np.concatenate((masked, other), axis=2).transpose(2, 0, 1) / 255.0
        start = int(row * 80.0 / 25)
        (made, _) = networks["vrt_enet"](
            torch.FloatTensor(mel[:, start : start + 16])[None, None],
            torch.FloatTensor(both)[None],
            torch.FloatTensor(other.transpose(2, 0, 1) / 255.0)[None],
            noise=[torch.zeros(())] * 4,
        )
        face = (made[0].permute(1, 2, 0).numpy() * 255).clip(0, 255).astype(np.uint8)
        near = np.abs(face[..., ::-1].astype(int) - render.read("patch")[row]) <= 2
        assert near.all(-1).mean() > 0.999
