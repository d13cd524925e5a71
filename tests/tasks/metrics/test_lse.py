"""LSE on a clip, against the published procedure spelt out frame by frame."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import medfilt

from models.audio.mfcc import mfcc
from models.published import build
from models.syncnet.crops import crop_face, crop_windows, find_tracks, inside
from models.syncnet.embedder import PIECE, PIECE_FRAMES, PIECE_STEPS, PieceEmbedder
from models.syncnet.network import SyncNet
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from tasks.engine.open_run import open_run
from tasks.engine.run import Run
from tasks.metrics import lse as family
from tasks.metrics.frames import Regions
from tasks.metrics.match import nearest
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tests.media_factory import EXAMPLE, make_video
from tests.published_weights import add_filled, filled_state, write_registry
from tests.tasks.compared import compared, heard, seen, write_frames

pytestmark = [pytest.mark.dub, pytest.mark.long]

SPEECH = EXAMPLE.with_name("jfk.wav")
FRAMES = 19
"""Of which two pieces are made, the second of them with a window or two."""


@pytest.fixture(scope="module")
def active(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run whose store has SyncNet's weights."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        registry = write_registry(folder / "own.yaml", "syncnet_v2")
        patch.setenv("DUBFLOW_WEIGHTS", str(registry))
        patch.setattr("models.syncnet.crops.SHORTEST_TRACK", FRAMES - 2)
        patch.setattr(family, "_PIECES", 2)
        store = Store(folder / "store")
        add_filled(store, "syncnet_v2", folder)
        with open_run(store, workers=1) as run:
            yield run


@pytest.fixture(scope="module")
def talk(active: Run, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    path = tmp_path_factory.mktemp("media") / "talk.mp4"
    return seen(make_video(path, frames=FRAMES, size=(400, 300), real_faces=True))


@pytest.fixture(scope="module")
def scored(active: Run, talk: Seen) -> Artifact:
    return family.FAMILY.measure(compared(talk, talk, speech=heard(SPEECH)))


@pytest.fixture(scope="module")
def network() -> SyncNet:
    network = build("syncnet_v2")
    network.load_state_dict(filled_state("syncnet_v2"))
    assert isinstance(network, SyncNet)
    return network.eval()


def plain_scores(
    network: SyncNet, pictures: list[NDArray[np.uint8]]
) -> tuple[float, float, int, NDArray[np.float32]]:
    """Published procedure, window by window: 224 px BGR pictures and the example's speech."""
    levels = np.round(decode_audio(SPEECH, rate=16000, mono=True)[:, 0] * 32768)
    sound = levels.clip(-32768, 32767).astype(np.int16)[: len(pictures) * 640]
    cepstra = torch.from_numpy(mfcc(sound))
    frames = torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2).float()
    windows = range(len(pictures) - 5)
    with torch.inference_mode():
        lips = torch.cat([network.embed_lips(frames[None, :, i : i + 5]) for i in windows])
        steps = [cepstra[4 * i : 4 * i + 20].T[None, None] for i in windows]
        audio = torch.cat([network.embed_audio(step) for step in steps])
    padded = torch.nn.functional.pad(audio, (0, 0, 15, 15))
    table = torch.stack(
        [torch.norm(lips - padded[k : k + len(lips)] + 1e-6, dim=1) for k in range(31)], dim=1
    )
    mean = table.mean(dim=0)
    best = int(mean.argmin())
    return float(mean[best]), float(mean.median() - mean[best]), 15 - best, table[:, best].numpy()


def pictures_of(talk: Seen) -> list[NDArray[np.uint8]]:
    clip = load_timeline(talk.timeline)
    return [f.rgb()[..., ::-1] for f in read_frames(talk.video.path, clip, 0, len(clip))]


def test_face_scores_are_those_of_the_published_procedure(
    talk: Seen, scored: Artifact, network: SyncNet
) -> None:
    boxes = Regions.of(talk.landmarks).face.astype(np.float64)
    half = medfilt(np.max(boxes[:, 2:] - boxes[:, :2], axis=1) / 2, 13)
    middle_x = medfilt((boxes[:, 0] + boxes[:, 2]) / 2, 13)
    middle_y = medfilt((boxes[:, 1] + boxes[:, 3]) / 2, 13)
    crops = []
    for picture, s, x, y in zip(pictures_of(talk), half, middle_x, middle_y, strict=True):
        border = int(s * 1.8)
        wide = ((border, border), (border, border), (0, 0))
        padded = np.pad(picture, wide, "constant", constant_values=110)
        x, y = x + border, y + border
        rows, columns = (int(y - s), int(y + s * 1.8)), (int(x - s * 1.4), int(x + s * 1.4))
        crops.append(cv2.resize(padded[slice(*rows), slice(*columns)], (224, 224)))
    distance, confidence, offset, by_window = plain_scores(network, crops)
    values = scored.attributes["values"]
    assert values["lse_d"] == pytest.approx(distance, rel=1e-4)
    assert values["lse_c"] == pytest.approx(confidence, rel=1e-2, abs=1e-3)
    assert values["av_offset"] == offset
    curve = scored.read("lse_d")
    np.testing.assert_allclose(curve[2 : FRAMES - 3], by_window, rtol=1e-3)
    assert np.isnan(curve[[0, 1, -3, -2, -1]]).sum() >= 3


def test_whole_frames_are_those_of_wav2lips_script(
    talk: Seen, scored: Artifact, network: SyncNet
) -> None:
    small = [cv2.resize(picture, (224, 224)) for picture in pictures_of(talk)]
    distance, confidence, _, _ = plain_scores(network, small)
    values = scored.attributes["values"]
    assert values["lse_d_wav2lip"] == pytest.approx(distance, rel=1e-4)
    assert values["lse_c_wav2lip"] == pytest.approx(confidence, rel=1e-2, abs=1e-3)
    assert scored.attributes["reasons"] == {}
    assert set(values) == {metric.name for metric in family.METRICS}


def test_pieces_are_the_network_itself() -> None:
    torch.manual_seed(0)
    network = SyncNet(embedding=8).eval()
    frames = torch.randint(0, 255, (1, PIECE_FRAMES, 224, 224, 3), dtype=torch.uint8)
    cepstra = torch.randn(1, PIECE_STEPS, 13)
    with torch.inference_mode():
        lips, sound = PieceEmbedder(network)(frames, cepstra).chunk(2, dim=2)
        last = frames[:, PIECE - 1 :].permute(0, 4, 1, 2, 3).float()
        torch.testing.assert_close(lips[:, -1], network.embed_lips(last), rtol=1e-4, atol=1e-5)
        window = cepstra[:, -20:].mT[:, None]
        torch.testing.assert_close(sound[:, -1], network.embed_audio(window), rtol=1e-4, atol=1e-5)


def test_what_can_not_be_scored_says_why(active: Run, tmp_path: Path) -> None:
    grey = seen(write_frames(tmp_path / "grey.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 4))
    found = family.FAMILY.measure(compared(grey, grey, speech=heard(SPEECH))).attributes
    assert set(found["values"].values()) == {None}
    assert found["reasons"]["lse_d"] == "no face"
    assert found["reasons"]["lse_c_wav2lip"] == family.TOO_SHORT


def test_short_tracks_and_small_faces_do_not_count(
    talk: Seen, active: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, rows = load_timeline(talk.timeline), np.arange(FRAMES)
    assert len(family._scored_tracks(clip, talk.landmarks, rows)[0]) == 1
    monkeypatch.setattr("models.syncnet.crops.SMALLEST_FACE", 250.0)
    tracks, why = family._scored_tracks(clip, talk.landmarks, rows)
    assert tracks == [] and "px large, and only more than 250 count" in why
    monkeypatch.undo()
    monkeypatch.setattr("models.syncnet.crops.SHORTEST_TRACK", 100)
    tracks, why = family._scored_tracks(clip, talk.landmarks, rows)
    assert tracks == [] and why == "skipped: shorter than 4.04 s of a face without a cut"


def test_frames_are_taken_by_time() -> None:
    grid = np.arange(10) / 25
    np.testing.assert_array_equal(nearest(np.arange(20) / 50, grid), np.arange(0, 20, 2))
    webcam = np.array([0.0, 0.03, 0.12, 0.17])
    np.testing.assert_array_equal(nearest(webcam, grid[:5]), [0, 1, 2, 2, 3])


def test_missing_weights_say_how_to_get_them(run: Run) -> None:
    assert "dubflow weights add syncnet_v2" in str(family.FAMILY.missing())


def test_tracks_bridge_gaps_and_end_at_cuts() -> None:
    boxes = np.repeat(np.arange(100.0)[:, None], 4, axis=1)
    valid, cuts = np.ones(100, bool), np.zeros(100, bool)
    valid[10:20], boxes[10:20] = False, 0
    valid[50:80], cuts[90] = False, True
    tracks = find_tracks(boxes, valid, cuts)
    assert [(track.start, len(track)) for track in tracks] == [(0, 50), (80, 10), (90, 10)]
    np.testing.assert_allclose(tracks[0].boxes[:, 0], np.arange(50))
    assert find_tracks(boxes, np.zeros(100, bool), cuts) == []


def test_crops_beyond_the_frame_are_grey() -> None:
    windows = crop_windows(np.tile([0.0, 0.0, 40.0, 50.0], (20, 1)))
    np.testing.assert_array_equal(windows[10], [-15, 0, 55, 70])
    picture = np.full((60, 40, 3), 200, np.uint8)
    size = (60, 40)
    x0, y0, x1, y1 = inside(windows[10], size)
    crop = crop_face(picture[y0:y1, x0:x1], windows[10], size)
    assert crop.shape == (224, 224, 3)
    assert (crop[100, 112] == 200).all() and (crop[100, 10] == 110).all()
    away = np.array([500, 500, 570, 570])
    assert (crop_face(np.zeros((0, 0, 3), np.uint8), away, size) == 110).all()
