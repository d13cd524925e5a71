"""The StyleGAN2 talking face from a tiny trained file to frames: both drives, every switch."""

import json
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

from flows.dub import dub
from flows.dub_inputs import files_of, input_faults
from flows.dub_report import DubReport
from flows.settings import DubSettings
from models.faces.crop.crop import pixel_matrix
from models.faces.settings import BlendSettings
from models.published import build_trained
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.engine.stage import Shard
from tasks.result.composite import composed
from tests.flows.conftest import computed, cut_wav
from tests.media_factory import EXAMPLE, content, faces, make_video, variable_times
from tests.published_weights import trained_file

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]
NETWORK = "stylegan2_face"
TINY = {
    **{"side": 128, "fan_width": 16, "audio_width": 4, "features": 8},
    **{"identity_width": 2, "narrow": 0.02, "style": 8},
}
FRAMES = 8


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run side by side; so small networks are no slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_face(folder: Path, **changes: Any) -> Path:
    """A tiny talking face as training writes it, whose noise, if it has any, counts."""
    size = TINY | changes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_trained(NETWORK, size)
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            torch.nn.init.ones_(parameter)
    path = folder / f"{NETWORK}.safetensors"
    metadata = {"network": NETWORK, "config": json.dumps(size)}
    save_file(network.state_dict(), path, metadata=metadata)
    return path


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Later frames of the example's face, mirrored, at 30 frames a second."""
    shown = [each[:, ::-1] for each in islice(faces(320, 240), 20, 50)]
    return make_video(
        tmp_path_factory.mktemp("driver") / "driver.mp4",
        frames=30,
        size=(320, 240),
        rate=30,
        draw=lambda index, width, height: shown[index],
    )


@pytest.fixture
def make(settings: Make, driver: Path, tmp_path: Path) -> Make:
    """Settings of a dub of FRAMES frames; `size` is the network's."""

    def make(
        options: dict[str, Any] | None = None, size: dict[str, Any] | None = None, **changes: Any
    ) -> DubSettings:
        chosen = {"weights": str(write_face(tmp_path, **(size or {})))} | (options or {})
        chosen = {"driver": str(driver)} | chosen
        given = {"sync": {"end_seconds": FRAMES / 25}, "encode": {"crf": 0}, "workers": 1}
        return settings(method="stylegan2", method_settings=chosen, **(given | changes))

    return make


def artifact(settings: DubSettings, report: DubReport, kind: str) -> Artifact:
    """What a dub made last of that kind."""
    key = [stage.key for stage in report.stages if stage.name == kind][-1]
    return Store(settings.store).get(kind, key)


def rendered(settings: DubSettings) -> Artifact:
    return artifact(settings, dub(settings), "render")


def check_pixels(settings: DubSettings, render: Artifact) -> np.ndarray:
    """Which frames change; fails if one does outside the mask."""
    clip, out = scan(settings.video), scan(settings.output)
    count = len(out.pts)
    own = [each.copy() for each in read_frames(settings.video, clip, 0, len(clip.pts))][:count]
    own = own * count if clip.still else own
    copies = (each.copy() for each in own)
    dubbed = composed(copies, render, Shard(0, 0, count), BlendSettings())
    changed = np.zeros(count, bool)
    for row, (old, new) in enumerate(zip(own, dubbed, strict=True)):
        before, after = old.rgb(), new.rgb()
        drawn = np.zeros(before.shape[:2], np.uint8)
        if render.read("valid")[row]:
            place = pixel_matrix(render.read("transform")[row])
            flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
            drawn = cv2.warpAffine(render.read("mask")[row], place, drawn.shape[::-1], flags=flags)
        around = cv2.dilate(drawn, np.ones((5, 5), np.uint8)) > 0
        same = (before == after).all(-1)
        assert same[~around].all(), row
        changed[row] = not same.all()
    return changed


@pytest.mark.parametrize("drive", ["audio", pytest.param("video", marks=pytest.mark.long)])
def test_the_lower_face_follows_what_drives_it(make: Make, drive: str) -> None:
    given = make({"drive": drive})
    report = dub(given)
    assert report.valid_frames == FRAMES
    kinds = [stage.name for stage in report.stages]
    assert ("speech_lips" in kinds, kinds.count("face_features")) == (drive == "audio", 1)
    render = artifact(given, report, "render")
    assert check_pixels(given, render).all()
    assert computed(dub(given)) == set(), "all is in the store"


SWITCHES: list[dict[str, Any]] = [
    {"face": "still"},
    {"face": "driver"},
    {"face": "source", "drive": "video"},
    {"identity": "still"},
    {"identity": "still", "face": "still", "drive": "video"},
    {"paste": "face"},
    {"paste": "crop"},
    {"smooth": 2.0},
]


@pytest.mark.long
@pytest.mark.parametrize("options", SWITCHES, ids=str)
def test_a_switch_changes_the_faces(make: Make, options: dict[str, Any]) -> None:
    usual = {k: v for k, v in options.items() if k == "drive"}
    plain, switched = rendered(make(usual)), rendered(given := make(options))
    assert switched.read("valid").all()
    for name in ("patch", "mask"):
        differs = (plain.read(name) != switched.read(name)).any()
        assert differs == ((name == "mask") == ("paste" in options)), name
    assert check_pixels(given, switched).all()


@pytest.mark.long
def test_noise_is_the_same_again(make: Make) -> None:
    made = {}
    for trained in ("random", "fixed"):
        for noise in ("none", "fixed", "random"):
            still = {"noise": noise, "face": "still", "identity": "still"}
            made[trained, noise] = rendered(make(still, {"noise": trained})).read("patch")
    assert len({patch.tobytes() for patch in made.values()}) == 6


@pytest.mark.long
@pytest.mark.parametrize(
    "size",
    [
        {"decoder": "davs"},
        {"skips": False, "style_maps": False},
        {"face_groups": "eyes"},
        {"align": "davs"},
        {"mfcc": "davs"},
    ],
    ids=str,
)
def test_a_file_of_any_layout_dubs(make: Make, size: dict[str, Any]) -> None:
    of_training = {name: size[name] for name in ("align", "mfcc") if name in size}
    assert rendered(make(of_training, size)).read("valid").all()


@pytest.mark.long
def test_two_runs_write_the_same_bytes(make: Make, tmp_path: Path) -> None:
    given = make({"drive": "video", "identity": "still"})
    written = []
    for name in ("one", "other"):
        again = given.model_copy(update={"store": str(tmp_path / name)})
        dub(again)
        written.append(content(again.output))
    assert written[0] == written[1]


@pytest.mark.long
def test_a_driver_keeps_its_own_clock_and_passes_when_it_is_gone(
    make: Make, tmp_path: Path
) -> None:
    """At variable rate, a cut to a mirrored face at 0.4 s, no face from 0.8 s to 1.8 s."""
    times = [each for each in variable_times(90) if each < 2350]
    shown = list(islice(faces(320, 240), 60))

    def draw(index: int, width: int, height: int) -> np.ndarray:
        if 800 <= times[index] < 1800:
            return np.full((height, width, 3), 90, np.uint8)
        return shown[index % 60] if times[index] < 400 else shown[index % 60][:, ::-1]

    film = make_video(
        tmp_path / "driver.mp4",
        frames=len(times),
        size=(320, 240),
        pts=times,
        time_base=Fraction(1, 1000),
        draw=draw,
    )
    given = make({"drive": "video", "driver": str(film)}, sync={})
    report = dub(given)
    driven = artifact(given, report, "driven").read("valid")
    last = max(each for each in times if each < 800) / 1000
    first = min(each for each in times if each >= 1800) / 1000
    at = np.arange(60) / 25
    np.testing.assert_array_equal(driven, (at <= last + 0.5) | (at >= first))
    np.testing.assert_array_equal(artifact(given, report, "render").read("valid"), driven)
    assert report.no_face_ranges == [(int(np.argmin(driven)), int(60 - np.argmax(~driven[::-1])))]
    assert any("the driver has shown no face for 0.5 s" in note for note in report.notes)
    assert (check_pixels(given, artifact(given, report, "render")) == driven).all()


@pytest.mark.long
@pytest.mark.parametrize("drive", ["audio", "video"])
def test_any_video_keeps_all_but_the_mask(make: Make, tmp_path: Path, drive: str) -> None:
    """Upright, at variable rate, with a cut and four of ten frames without a face."""
    size, shown = (270, 480), list(islice(faces(640, 480), 30))

    def draw(index: int, width: int, height: int) -> np.ndarray:
        if 4 <= index < 8:
            return np.full((height, width, 3), 90, np.uint8)
        whole = shown[index] if index < 4 else shown[29 - index][:, ::-1]
        return np.ascontiguousarray(whole[:, 185:455])

    video = make_video(
        tmp_path / "film.mp4",
        frames=10,
        size=size,
        draw=draw,
        pts=variable_times(10),
        time_base=Fraction(1, 600),
        pix_fmt="yuv444p",
    )
    given = make({"drive": drive, "paste": "face"}, video=video, sync={})
    report = dub(given)
    assert (report.frames, report.valid_frames) == (10, 6)
    assert report.no_face_ranges == [(4, 8)]
    np.testing.assert_array_equal(scan(video).seconds, scan(given.output).seconds)
    changed = check_pixels(given, artifact(given, report, "render"))
    np.testing.assert_array_equal(changed, [*[True] * 4, *[False] * 4, *[True] * 2])


@pytest.mark.long
@pytest.mark.parametrize("paste", ["lower", "face"])
def test_a_still_picture_speaks(make: Make, speech: Path, tmp_path: Path, paste: str) -> None:
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), next(faces(400, 300))[..., ::-1])
    given = make({"paste": paste}, video=picture, sync={})
    report = dub(given)
    assert report.valid_frames == report.frames == 45
    render = artifact(given, report, "render")
    assert (render.attributes.get("paste") == "unmatched") == (paste == "face")
    assert len({patch.tobytes() for patch in render.read("patch")}) > 30
    assert check_pixels(given, render).all()


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_speech_of_another_length(make: Make, tmp_path: Path, seconds: float) -> None:
    speech = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 0.3 + seconds)
    loop = dub(make(audio=speech, sync={"mode": "loop"}))
    assert loop.valid_frames == loop.frames == round(25 * seconds)
    lips = artifact(given := make(audio=speech, sync={}), dub(given), "speech_lips").read("lips")
    assert len(lips) == 60
    quiet = np.arange(60) / 25 > seconds + 0.12
    np.testing.assert_allclose(lips[quiet], np.broadcast_to(lips[-1], lips[quiet].shape), atol=1e-5)
    assert np.ptp(lips[~quiet], axis=0).max() > 1e-3


def test_turned_faces_pass_through(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.source.landmarks.TURNED_DEGREES", 0.0)
    assert dub(make({"smooth": 0.7}, sync={"end_seconds": 0.12})).valid_frames == 0


def test_without_a_file_one_is_told_to_train(make: Make) -> None:
    (fault,) = input_faults(make({"weights": ""}))
    assert "dubflow train stylegan2.face" in fault and "method_settings.weights=FILE" in fault


@pytest.mark.parametrize("name", ["align", "mfcc"])
def test_a_file_of_other_squares_or_sound_is_refused(make: Make, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{NETWORK}.*{name}=davs.*set method_settings.{name}="):
        dub(make(size={name: "davs"}))


def test_a_file_of_another_network_is_refused(make: Make, tmp_path: Path) -> None:
    other = trained_file(
        tmp_path / "other.safetensors", "stylegan2_face_identity", {"identity_width": 2}
    )
    with pytest.raises(SettingsError, match="of stylegan2_face_identity, not stylegan2_face"):
        dub(make({"weights": other}))


def test_a_missing_driver_is_told_at_once(make: Make, speech: Path, tmp_path: Path) -> None:
    for options in ({"drive": "video"}, {"face": "driver"}):
        (fault,) = input_faults(make(options | {"driver": None}))
        assert "set method_settings.driver=VIDEO" in fault
    (fault,) = input_faults(make({"drive": "video", "driver": str(tmp_path / "gone.mp4")}))
    assert "gone.mp4" in fault
    with pytest.raises(InputError, match="holds no picture"):
        dub(make({"drive": "video", "driver": str(speech)}))


def test_a_driver_is_an_input(make: Make, driver: Path, talk: Path, speech: Path) -> None:
    assert files_of(make({"drive": "video"})) == (talk, speech, driver)
    assert files_of(make()) == (talk, speech)
    with pytest.raises(InputError, match="would overwrite an input"):
        dub(make({"drive": "video"}, output=driver))


@pytest.mark.long
def test_a_driver_without_a_face_is_refused(make: Make, tmp_path: Path) -> None:
    film = make_video(tmp_path / "pattern.mp4", frames=3)
    with pytest.raises(InputError, match=r"no face was found in the driver .*pattern.mp4"):
        dub(make({"drive": "video", "driver": str(film)}))
