"""IP-LAP from files of weights to dubbed frames, against the plain procedure and by variant."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from flows.dub import dub
from flows.dub_report import DubReport
from flows.settings import DubSettings, read_settings
from models import published
from models.audio.mel import mel_spectrogram
from models.faces.blend import pasted
from models.faces.crop.crop import upright_box
from models.faces.mesh.indices import MOUTH
from models.ip_lap.landmarks import FULL, POSE
from models.ip_lap.settings import LandmarkSize, RendererSize
from models.ip_lap.sketch import draw_sketch
from models.published import build, build_trained
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from stores.media.scanning import scan
from tests.flows.conftest import computed, cut_wav
from tests.media_factory import EXAMPLE, faces, make_video
from tests.published_weights import add_filled, filled_state, write_registry

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]
LANDMARKS, RENDERER = "ip_lap_landmark_generator", "ip_lap_renderer"
FRAMES, SHORT = 24, 8
"""Of the source, and of the part that most tests dub."""
FULL_SIZE = {name: published._NETWORKS[name] for name in (LANDMARKS, RENDERER)}
TINY: dict[str, dict[str, Any]] = {
    LANDMARKS: {"width": 64, "layers": 1, "feedforward": 64},
    RENDERER: {"fine": 8, "coarse": 32},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that has both networks' weights in the published layout, and small ones at that."""
    sizes = {LANDMARKS: LandmarkSize(width=64), RENDERER: RendererSize(fine=8, coarse=32)}
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            small = FULL_SIZE[name]._replace(arguments={"size": size})
            patch.setitem(published._NETWORKS, name, small)
        yield filled_store(tmp_path_factory.mktemp("weights"), patch)


@pytest.fixture
def full_store(tmp_path: Path) -> Iterator[Store]:
    """The same with networks of the published size."""
    with pytest.MonkeyPatch.context() as patch:
        for name, maker in FULL_SIZE.items():
            patch.setitem(published._NETWORKS, name, maker)
        yield filled_store(tmp_path, patch)


def filled_store(folder: Path, patch: pytest.MonkeyPatch) -> Store:
    """A store with both networks' weights, and a registry that takes them."""
    names = (LANDMARKS, RENDERER)
    patch.setenv("DUBFLOW_WEIGHTS", str(write_registry(folder / "own.yaml", *names)))
    store = Store(folder / "store")
    for name in names:
        add_filled(store, name, folder)
    return store


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return make_video(path, frames=FRAMES, size=(400, 300), real_faces=True)


@pytest.fixture
def make(talk: Path, speech: Path, store: Store, tmp_path: Path) -> Make:
    """Settings of a dub by IP-LAP with the published layouts."""

    def make(**changes: Any) -> DubSettings:
        given = {
            "video": talk,
            "audio": speech,
            "output": tmp_path / "out.mp4",
            "store": store.url,
            "method": "ip_lap",
            "encode": {"crf": 0},
            "workers": 1,
        }
        return read_settings(None, [], given | changes)

    return make


@pytest.fixture
def make_tiny(make: Make, tmp_path: Path) -> Make:
    """The same with networks of one's own training, tiny ones, and 8 frames; all may change."""

    def make_tiny(
        landmarks: dict[str, Any] | None = None,
        renderer: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        **changes: Any,
    ) -> DubSettings:
        chosen = {
            "landmarks": str(write_trained(LANDMARKS, landmarks or {}, tmp_path)),
            "renderer": str(write_trained(RENDERER, renderer or {}, tmp_path)),
            "references": 2,
        }
        given = {"sync": {"end_seconds": 0.3}} | changes
        return make(method_settings=chosen | (options or {}), **given)

    return make_tiny


def write_trained(name: str, changes: dict[str, Any], folder: Path) -> Path:
    """A file as training writes it, with weights of a fixed seed."""
    config = TINY[name] | changes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_trained(name, config)
    metadata = {
        "network": name,
        "config": json.dumps(config),
        "licence": "CC0",
        "commercial": "true",
    }
    path = folder / f"{name}.safetensors"
    save_file(network.state_dict(), path, metadata=metadata)
    return path


def artifact(store: Store, report: DubReport, kind: str) -> Artifact:
    """What a dub made last of that kind."""
    key = [stage.key for stage in report.stages if stage.name == kind][-1]
    return store.get(kind, key)


def plain_boxes(points: np.ndarray, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Bounds of each frame's 131 points, 0.08 of their mean side wider, in whole pixels."""
    boxes = []
    for frame in points.tolist():
        xs, ys = [x for x, _, _ in frame], [y for _, y, _ in frame]
        pad = 0.08 * ((max(xs) - min(xs)) + (max(ys) - min(ys))) / 2
        left, right = max(min(xs) - pad, 0), min(max(xs) + pad, width)
        top, bottom = max(min(ys) - pad, 0), min(max(ys) + pad, height)
        boxes.append((int(left), int(top), int(right), int(bottom)))
    return boxes


class Plain:
    """The published inference, one frame at a time in float32.

    Args:
        pictures: (height, width, 3) BGR of all source frames.
        landmarks: (frame, 478, 3) of them.
        mouth: (frame, 57, 3), to sort by lip opening.
        references: Reference images.
    """

    def __init__(
        self, pictures: list[np.ndarray], landmarks: np.ndarray, mouth: np.ndarray, references: int
    ) -> None:
        height, width = pictures[0].shape[:2]
        points = landmarks[:, list(FULL)]
        self.boxes = plain_boxes(points, height, width)
        self.crops = [
            picture[y1:y2, x1:x2]
            for picture, (x1, y1, x2, y2) in zip(pictures, self.boxes, strict=True)
        ]
        self.points = [
            np.stack([(p[:, 0] - x1) / (x2 - x1), (p[:, 1] - y1) / (y2 - y1)]).astype(np.float32)
            for p, (x1, y1, x2, y2) in zip(points, self.boxes, strict=True)
        ]
        lips = mouth[:, [MOUTH.index(0), MOUTH.index(17)], :2]
        order = sorted(
            range(len(mouth)), key=lambda i: float(np.linalg.norm(lips[i, 0] - lips[i, 1]))
        )
        shapes, images = (
            [order[int(i)] for i in np.linspace(0, len(order) - 1, count)]
            for count in (15, references)
        )
        self.known = torch.stack([torch.from_numpy(self.points[i]) for i in shapes])[None]
        self.images = torch.stack([self.image(i) for i in images])[None]
        self.sketches = torch.stack([self.sketch(self.points[i], i) for i in images])[None]
        self.generator, self.renderer = build(LANDMARKS).eval(), build(RENDERER).eval()
        for network, name in ((self.generator, LANDMARKS), (self.renderer, RENDERER)):
            network.load_state_dict(filled_state(name), strict=False)

    def image(self, frame: int) -> torch.Tensor:
        small = cv2.resize(self.crops[frame], (128, 128))
        return torch.FloatTensor(small / 255).permute(2, 0, 1)

    def sketch(self, points: np.ndarray, frame: int) -> torch.Tensor:
        drawn = draw_sketch(points, self.crops[frame].shape[:2])
        return torch.FloatTensor(drawn / 255)[None].expand(3, -1, -1)

    def faces(self, mel: np.ndarray, count: int) -> Iterator[np.ndarray]:
        """New faces (box height, box width, 3) BGR of the first `count` frames."""
        for middle in range(count):
            ticks = range(middle - 2, middle + 3)
            starts = [int(max(0, tick - 2) * 80.0 / 25) for tick in ticks]
            mels = torch.FloatTensor(np.stack([mel[:, s : s + 16] for s in starts]))[None, :, None]
            window = [min(max(tick, 0), count - 1) for tick in ticks]
            pose = torch.from_numpy(np.stack([self.points[i][:, :74] for i in window]))
            with torch.no_grad():
                content = self.generator(
                    mels, pose[None], self.known[..., :74], self.known[..., 74:]
                )
                full = torch.cat([pose, content], dim=2).numpy()
                drawn = [self.sketch(p, i) for p, i in zip(full, window, strict=True)]
                made, _ = self.renderer(
                    self.image(middle)[None, None],
                    torch.stack(drawn)[None],
                    self.images,
                    self.sketches,
                    mels[:, 2:3],
                )
            face = (made[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            x1, y1, x2, y2 = self.boxes[middle]
            yield cv2.resize(face, (x2 - x1, y2 - y1))


def test_faces_equal_the_published_procedure(make: Make, store: Store, speech: Path) -> None:
    check_against_published(make, store, speech, references=2, count=2)


@pytest.mark.slow
def test_faces_of_full_networks_equal_the_published_procedure(
    full_store: Store, make: Make, speech: Path
) -> None:
    check_against_published(make, full_store, speech, references=25, count=3)


def check_against_published(
    make: Make, store: Store, speech: Path, *, references: int, count: int
) -> None:
    """Every pasted face is within one level of the plain procedure's on 99.9 % of its pixels."""
    assert len(POSE) == 74
    settings = make(
        store=store.url,
        method_settings={"references": references},
        sync={"end_seconds": (count - 0.5) / 25},
    )
    report = dub(settings)
    assert report.frames == report.valid_frames == count
    assert artifact(store, report, "visibility").read("free").all()
    clip = scan(settings.video)
    pictures = [f.rgb()[..., ::-1] for f in read_frames(settings.video, clip, 0, FRAMES)]
    found = artifact(store, report, "landmarks")
    plain = Plain(pictures, found.read("landmarks"), found.read("mouth"), references)
    mel = mel_spectrogram(decode_audio(speech, rate=16000, mono=True)[:, 0]).T
    render = artifact(store, report, "render")
    patches, transforms = render.read("patch"), render.read("transform")
    for row, face in enumerate(plain.faces(mel, count)):
        box = upright_box(transforms[row], 128)
        assert (box.x0, box.y0, box.x1, box.y1) == plain.boxes[row]
        near = np.abs(face[..., ::-1].astype(int) - pasted(patches[row], box)) <= 1
        assert near.all(-1).mean() >= 0.999


@pytest.mark.long
@pytest.mark.parametrize("paste", ["soft", "contour"])
def test_a_paste_changes_the_face_only(make_tiny: Make, paste: str) -> None:
    settings = make_tiny(options={"paste": paste})
    report = dub(settings)
    assert report.frames == report.valid_frames == SHORT
    clip, made = scan(settings.video), scan(settings.output)
    pairs = zip(
        read_frames(settings.video, clip, 0, SHORT),
        read_frames(settings.output, made, 0, SHORT),
        strict=True,
    )
    changed = np.stack([(a.rgb() != b.rgb()).any(-1) for a, b in pairs]).any(0)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    top = {"soft": 140, "contour": 100}[paste]
    assert rows[0] > top, "the forehead, and with soft the eyes, are untouched"
    assert columns[-1] - columns[0] < 140
    assert changed.any()


@pytest.mark.long
@pytest.mark.parametrize(
    ("landmarks", "renderer", "references"),
    [
        ({"mixer": "lstm"}, {"audio": False}, 1),
        ({}, {"warping": False}, 5),
        ({}, {}, "fifth"),
        pytest.param({}, {}, 10, marks=pytest.mark.slow),
        pytest.param({}, {}, 25, marks=pytest.mark.slow),
    ],
)
def test_the_papers_ablations_run(
    make_tiny: Make,
    store: Store,
    landmarks: dict[str, Any],
    renderer: dict[str, Any],
    references: int | str,
) -> None:
    report = dub(make_tiny(landmarks, renderer, {"references": references}))
    assert report.valid_frames == SHORT
    chosen = artifact(store, report, "ip_lap_references").read("images")
    assert len(chosen) == (FRAMES // 5 if references == "fifth" else references)
    assert artifact(store, report, "render").read("patch").std() > 0


@pytest.mark.long
def test_at_other_rates_frames_keep_their_times(make_tiny: Make, tmp_path: Path) -> None:
    video = make_video(
        tmp_path / "fast.mp4", frames=SHORT, size=(400, 300), rate=50, real_faces=True
    )
    settings = make_tiny(video=video)
    report = dub(settings)
    assert report.frames == report.valid_frames == SHORT
    assert (scan(settings.output).seconds == scan(video).seconds).all()


@pytest.mark.long
def test_frames_without_a_face_pass_untouched(make_tiny: Make, tmp_path: Path) -> None:
    seen = [picture for picture, _ in zip(faces(400, 300), range(12), strict=False)]

    def draw(index: int, width: int, height: int) -> np.ndarray:
        return np.full_like(seen[0], 128) if 5 <= index < 10 else seen[index]

    video = make_video(tmp_path / "some.mp4", frames=12, size=(400, 300), draw=draw)
    settings = make_tiny(video=video, sync={})
    report = dub(settings)
    assert report.no_face_ranges == [(5, 10)]
    before = [f.rgb() for f in read_frames(video, scan(video), 0, 12)]
    after = [f.rgb() for f in read_frames(settings.output, scan(settings.output), 0, 12)]
    same = [(a == b).all() for a, b in zip(before, after, strict=True)]
    assert same == [5 <= index < 10 for index in range(12)]


@pytest.mark.long
def test_own_detail_keeps_the_sources_sharpness(make_tiny: Make, store: Store) -> None:
    report = dub(make_tiny(options={"detail": "exemplar"}))
    renders = [store.get("render", s.key) for s in report.stages if s.name == "render"]
    made, own, mixed = (render.read("patch").astype(np.float32) for render in renders)
    assert made.shape[1] == 128
    assert mixed.shape == own.shape
    inside = cv2.erode(renders[2].read("mask")[5], np.ones((9, 9))) == 255
    fine = [p[5] - cv2.GaussianBlur(p[5], (0, 0), 1) for p in (own, mixed)]
    coarse = [cv2.GaussianBlur(p[5], (0, 0), 6)[inside] for p in (own, mixed)]
    assert np.abs(fine[0] - fine[1])[inside].mean() < 0.5 * np.abs(fine[0])[inside].mean()
    assert np.abs(coarse[0] - coarse[1]).mean() > 10, "noise is nothing like the speaker"


def test_new_speech_reads_faces_and_references_from_the_store(
    make_tiny: Make, tmp_path: Path
) -> None:
    dub(make_tiny())
    other = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 3.2, 5.0)
    done = computed(dub(make_tiny(audio=other)))
    assert not {"ip_lap_crops", "ip_lap_references", "crops"} & done
    assert {"ip_lap_motion", "render"} <= done


def test_weights_are_checked_by_name_and_network(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="dubflow weights add ip_lap_landmark_generator"):
        dub(make(store=str(tmp_path / "empty")))
    path = str(write_trained(LANDMARKS, {}, tmp_path))
    with pytest.raises(SettingsError, match="not of ip_lap_renderer"):
        dub(make(method_settings={"renderer": path}))
    with pytest.raises(SettingsError, match="references"):
        make(method_settings={"references": 65})
