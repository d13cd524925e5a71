"""Wav2Lip from a file in its published nesting to dubbed frames, against the plain procedure."""

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
from flows.origin_settings import OriginSettings
from flows.settings import DubSettings, read_settings
from models import published
from models.audio.mel import mel_spectrogram
from models.faces.blend import pasted
from models.faces.crop.crop import cut, upright_box
from models.faces.settings import BlendSettings
from models.published import build, build_trained
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from stores.media.audio import decode_audio
from stores.media.frame import Frame
from stores.media.read import read_frames
from stores.media.scanning import Scanner, scan
from tasks.engine.stage import Shard
from tasks.result.composite import composed
from tests.flows.conftest import computed, cut_wav
from tests.media_factory import EXAMPLE, make_video
from tests.published_weights import add_filled, filled_state, write_registry

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]
FRAMES = 12
ONE_FRAME: dict[str, Any] = {"sync": {"end_seconds": 0.04}, "devices": {"batch": 1}}
"""What is restored, without a trial of how large batches may be: a frame takes GFPGAN seconds."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that has both networks' weights, and a registry that takes them.

    GFPGAN has an eighth of its channels: at full size (see tests/goldens) a face takes seconds.
    """
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        names = ("wav2lip_gan", "gfpgan_v1.4")
        gfpgan = published._NETWORKS["gfpgan_v1clean_512"]
        narrow = gfpgan._replace(arguments={"narrow": 0.125})
        patch.setitem(published._NETWORKS, "gfpgan_v1clean_512", narrow)
        patch.setenv("DUBFLOW_WEIGHTS", str(write_registry(folder / "own.yaml", *names)))
        store = Store(folder / "store")
        for name in names:
            add_filled(store, name, folder)
        yield store


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return make_video(path, frames=FRAMES, size=(400, 300), real_faces=True)


@pytest.fixture
def make(talk: Path, speech: Path, store: Store, tmp_path: Path) -> Make:
    def make(**changes: Any) -> DubSettings:
        given = {
            "video": talk,
            "audio": speech,
            "output": tmp_path / "out.mp4",
            "store": store.url,
            "method": "wav2lip",
            "encode": {"crf": 0},
            "workers": 1,
        }
        return read_settings(None, [], given | changes)

    return make


def artifact(store: Store, report: DubReport, kind: str) -> Artifact:
    """What a dub made last of that kind."""
    key = [stage.key for stage in report.stages if stage.name == kind][-1]
    return store.get(kind, key)


def published_boxes(landmarks: np.ndarray, height: int, width: int) -> list[list[int]]:
    """Detections grown by 10 px below, clipped; then averaged in place over five frames."""
    low, high = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
    boxes = []
    for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True):
        top, left = max(0, int(y1)), max(0, int(x1))
        boxes.append([left, top, min(width, int(x2)), min(height, int(y2) + 10)])
    array = np.array(boxes)
    for i in range(len(array)):
        window = array[len(array) - 5 :] if i + 5 > len(array) else array[i : i + 5]
        array[i] = np.mean(window, axis=0)
    return array.tolist()


def published_faces(
    frames: list[np.ndarray], boxes: list[list[int]], speech: Path, fps: float
) -> Iterator[np.ndarray]:
    """Each frame's new face as it is pasted (box height, box width, 3) BGR: one by one, float32."""
    network = build("wav2lip_generator").eval()
    network.load_state_dict(filled_state("wav2lip_generator"), strict=False)
    mel = mel_spectrogram(decode_audio(speech, rate=16000, mono=True)[:, 0], ends="reflect").T
    for i, (frame, (x1, y1, x2, y2)) in enumerate(zip(frames, boxes, strict=True)):
        start = int(i * 80.0 / fps)
        chunk = mel[:, start : start + 16] if start + 16 <= mel.shape[1] else mel[:, -16:]
        face = cv2.resize(frame[y1:y2, x1:x2], (96, 96))
        masked = face.copy()
        masked[48:] = 0
        both = np.concatenate((masked, face), axis=2) / 255.0
        with torch.no_grad():
            made = network(
                torch.FloatTensor(chunk)[None, None],
                torch.FloatTensor(both.transpose(2, 0, 1))[None],
            )
        new = made[0].numpy().transpose(1, 2, 0) * 255.0
        yield cv2.resize(new.astype(np.uint8), (x2 - x1, y2 - y1))


def check_against_published(settings: DubSettings, store: Store) -> None:
    """Every pasted face equals the plain procedure's within one level on 99.9 % of its pixels.

    The faces are compared as RGB, as they are pasted, and once more in the written file, where a
    level of RGB can become two by way of YUV and back.
    """
    settings = settings.model_copy(update={"origin": OriginSettings(mark=False)})
    report = dub(settings)
    clip = scan(settings.video)
    count = report.frames
    frames: list[Frame] = [f.copy() for f in read_frames(settings.video, clip, 0, count)]
    pictures = [np.ascontiguousarray(frame.rgb()[..., ::-1]) for frame in frames]
    landmarks = artifact(store, report, "landmarks").read("landmarks")
    boxes = published_boxes(landmarks, clip.video.height, clip.video.width)[:count]
    faces = published_faces(pictures, boxes, settings.audio, float(clip.video.rate))
    shown = read_frames(settings.output, scan(settings.output), 0, count)
    render = artifact(store, report, "render")
    patches, transforms = render.read("patch"), render.read("transform")
    compared = 0
    for row, (frame, face, (x1, y1, x2, y2), out) in enumerate(
        zip(frames, faces, boxes, shown, strict=True)
    ):
        rgb = np.ascontiguousarray(face[..., ::-1])
        box = upright_box(transforms[row], 96)
        assert (box.x0, box.y0, box.x1, box.y1) == (x1, y1, x2, y2)
        near = np.abs(rgb.astype(int) - pasted(patches[row], box)) <= 1
        assert near.all(-1).mean() >= 0.999
        frame.paste_rgb(x1, y1, rgb)
        written = out.crop_rgb(x1, y1, x2, y2).astype(int)
        near = np.abs(frame.crop_rgb(x1, y1, x2, y2) - written) <= 2
        assert near.all(-1).mean() >= 0.999
        compared += 1
    assert compared == count > 0


@pytest.mark.long
def test_a_hard_paste_equals_the_published_procedure(make: Make, store: Store) -> None:
    check_against_published(make(method_settings={"paste": "hard"}), store)


@pytest.mark.clips
@pytest.mark.slow
def test_a_real_clip_equals_the_published_procedure(make: Make, store: Store, clips: Path) -> None:
    settings = make(
        video=clips / "validation" / "p008_0008.mov",
        audio=EXAMPLE.with_name("jfk.wav"),
        method_settings={"paste": "hard"},
    )
    check_against_published(settings, store)


def test_a_soft_paste_changes_the_lower_face_only(make: Make) -> None:
    settings = make()
    report = dub(settings)
    assert report.valid_frames == FRAMES
    clip, made = scan(settings.video), scan(settings.output)
    pairs = zip(
        read_frames(settings.video, clip, 0, FRAMES),
        read_frames(settings.output, made, 0, FRAMES),
        strict=True,
    )
    changed = np.stack([(a.rgb() != b.rgb()).any(-1) for a, b in pairs]).any(0)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert rows[0] > 140, "above the nose the frame is untouched"
    assert columns[-1] - columns[0] < 140
    assert changed.any()


def test_new_speech_reads_the_faces_from_the_store(make: Make, tmp_path: Path) -> None:
    dub(make())
    other = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 3.2, 5.0)
    report = dub(make(audio=other))
    assert "wav2lip_crops" not in computed(report)
    assert "render" in computed(report)


def test_a_smaller_batch_is_the_same_result(make: Make) -> None:
    first = make(method_settings={"paste": "hard"})
    dub(first)
    report = dub(make(method_settings={"paste": "hard"}, devices={"batch": 3, "device": "cpu"}))
    assert computed(report) == set()


def test_a_file_of_ones_own_training_speaks(make: Make, tmp_path: Path) -> None:
    path, size = tmp_path / "mine.safetensors", {"width": 32}
    torch.manual_seed(0)
    network = build_trained("wav2lip_generator", size)
    metadata = {"network": "wav2lip_generator", "config": json.dumps(size), "licence": "CC0"}
    save_file(network.state_dict(), path, metadata=metadata)
    assert "render" in computed(dub(make(method_settings={"weights": str(path)})))
    save_file(
        build_trained("wav2lip_syncnet_color", size).state_dict(),
        path,
        metadata=metadata | {"network": "wav2lip_syncnet_color"},
    )
    with pytest.raises(SettingsError, match="holds weights of wav2lip_syncnet_color"):
        dub(make(method_settings={"weights": str(path)}))


def test_missing_weights_are_named_before_work_starts(make: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="dubflow weights add wav2lip_gan"):
        dub(make(store=str(tmp_path / "empty")))
    assert not list((tmp_path / "empty").rglob("manifest.json"))


def test_the_report_tells_of_the_licence(make: Make) -> None:
    notes = dub(make()).notes
    assert any("non-commercial weights: wav2lip_gan" in note for note in notes)


@pytest.mark.long
def test_restoring_is_gfpgan_on_the_face_with_its_new_mouth(make: Make, store: Store) -> None:
    settings = make(restore={"model": "gfpgan"}, **ONE_FRAME)
    report = dub(settings)
    keys = [stage.key for stage in report.stages if stage.name == "render"]
    mouths, restored = (store.get("render", key) for key in keys)
    clip = scan(settings.video)
    network = build("gfpgan_v1clean_512").eval()
    network.load_state_dict(filled_state("gfpgan_v1clean_512"), strict=False)
    frames = read_frames(settings.video, clip, 0, report.frames)
    for row, frame in enumerate(
        composed(frames, mouths, Shard(0, 0, report.frames), BlendSettings())
    ):
        transform = restored.read("transform")[row]
        face = cut(frame.rgb(), transform, 512)
        image = torch.from_numpy(face).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            made = network(image, return_rgb=False, randomize_noise=False)[0][0].clamp(-1, 1)
        wanted = ((made + 1) * 127.5).permute(1, 2, 0).numpy()
        seen = restored.read("mask")[row] > 0
        difference = np.abs(restored.read("patch")[row].astype(float) - wanted)[seen]
        assert seen.mean() > 0.05
        assert np.quantile(difference, 0.999) <= 1


def test_restoring_touches_nothing_that_the_method_did_not(make: Make, tmp_path: Path) -> None:
    plain = make(**ONE_FRAME, output=tmp_path / "plain.mp4")
    sharper = make(**ONE_FRAME, restore={"model": "gfpgan"}, output=tmp_path / "sharper.mp4")
    dub(plain)
    dub(sharper)
    own, new, restored = (
        next(read_frames(path, Scanner(path).run(), 0, 1)).rgb()
        for path in (plain.video, plain.output, sharper.output)
    )
    moved = cv2.dilate((new != own).any(-1).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    changed = (restored != own).any(-1)
    assert changed.any()
    assert not (changed & ~moved).any()
