"""Three seconds of VideoReTalking beside the published steps, written down frame by frame.

Networks are narrow ones of the published layout. What differs on purpose is taken as the method
made it (docs/methods/video_retalking.md): cut, landmarks, boxes, the crop that is finished, and
values that are rounded to 8 bit where the public code cuts them off.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform
from torch import nn

from flows.dub import dub
from flows.settings import read_settings
from models import published
from models.audio.mel import mel_spectrogram
from models.deep3d.alignment import align, five_points
from models.faces.crop.recast import between, recast
from models.restore.align import ARCFACE_POINTS
from models.restore.gfpgan import gfpgan_v1_clean
from models.restore.gpen import FullGenerator
from models.video_retalking.alignment import face_quads
from models.video_retalking.dnet import DNet
from models.video_retalking.finish import with_mouth
from models.video_retalking.settings import DNetSize
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.media.audio import decode_audio
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.engine.stage import Shard
from tasks.result.composite import rendered_rows
from tasks.source.area import crop_of
from tasks.weights.networks import find_weights, load_network
from tests.flows.conftest import cut_wav
from tests.flows.methods import test_video_retalking as method
from tests.media_factory import EXAMPLE, make_video
from tests.published_weights import write_registry

pytestmark = [pytest.mark.dub, pytest.mark.slow]

Picture = NDArray[np.uint8]
FRAMES, EVERY = 75, 5
NAMES = (*method.NETWORKS, "gpen_bfr_512", "gfpgan_v1.3", "parsenet")


def narrow_dnet() -> nn.Module:
    return DNet(DNetSize(width=4))


def narrow_gpen(size: int) -> nn.Module:
    return FullGenerator(size, narrow=1 / 32)


def narrow_gfpgan() -> nn.Module:
    return gfpgan_v1_clean(narrow=1 / 32)


NARROW = {
    "vrt_dnet": "narrow_dnet",
    "gpen_bfr_512": "narrow_gpen",
    "gfpgan_v1clean_512": "narrow_gfpgan",
}


def test_three_seconds_equal_the_published_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", *NAMES)))
    monkeypatch.setattr(method.shared, "_kept", {})
    for module, sizes in method.NARROW.items():
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)
    for network, name in NARROW.items():
        maker = published._NETWORKS[network]._replace(module=__name__, name=name)
        monkeypatch.setitem(published._NETWORKS, network, maker)
    parser = published._Maker(method.__name__, "Parser")
    monkeypatch.setitem(published._NETWORKS, "parsenet", parser)
    store = Store(tmp_path / "store")
    for name in NAMES:
        method.add_random(store, name, tmp_path)
    networks = {n: load_network(find_weights(n, store=store), store=store) for n in NAMES}
    given = {
        "video": make_video(tmp_path / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True),
        "audio": cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 3.3),
        "output": tmp_path / "out.mp4",
        "store": store.url,
        "method": "video_retalking",
        "method_settings": {"smoothing": "none", "noise": "none", "paste": "published"},
        "workers": 1,
    }
    settings = read_settings(None, [], given)
    report = dub(settings)
    assert report.valid_frames == FRAMES

    def made(kind: str) -> list[Artifact]:
        return [store.get(kind, s.key) for s in report.stages if s.name == kind]

    (cut,), (said,), (frozen, sharp) = made("vrt_cut"), made("coefficients"), made("stabilised")
    (crops,), (reference,), (mouths, result) = made("vrt_crops"), made("reference"), made("render")
    heard = mel_spectrogram(decode_audio(settings.audio, rate=16000, mono=True)[:, 0]).T
    semantic = np.array(
        [
            coefficients(networks["vrt_face3d"], *each)
            for each in zip(cut.read("face"), cut.read("landmarks") - 0.5, strict=True)
        ]
    )
    np.testing.assert_allclose(said.read("coefficients"), semantic, rtol=1e-3, atol=1e-3)
    semantic[:, 80:144] = method.EXPRESSIONS["expression_center"]
    clip = scan(settings.video)
    frames = [frame.copy() for frame in read_frames(settings.video, clip, 0, FRAMES)]
    for row in range(0, FRAMES, EVERY):
        points = cut.read("landmarks", row, row + 1)[0].astype(np.float64) - 0.5
        face, still, clear = (a.read("face", row, row + 1)[0] for a in (cut, frozen, sharp))
        near(reposed(networks["vrt_dnet"], face, semantic, row), still)
        enhanced = sharpened(networks["gpen_bfr_512"], networks["parsenet"], still, points)
        near(enhanced, clear, share=0.99)  # rims of masks that were warped elsewhere
        own, shown = (a.read("face", row, row + 1)[0] for a in (crops, reference))
        boxes = (a.read("box", row, row + 1)[0] for a in (cut, crops))
        near(laid_over(own, clear, points, *boxes), shown, share=0.99)
        spoken = lips(networks["vrt_enet"], heard, own, shown, row)
        near(spoken, mouths.read("patch", row, row + 1)[0][..., ::-1])
        ((mouth, old, _),) = rendered_rows(mouths, Shard(0, row, row + 1))
        place, done = (result.read(n, row, row + 1)[0] for n in ("transform", "patch"))
        before = crop_of(frames[row], place, len(done))
        moved = recast(mouth, between(old, place), len(done))
        pasted = with_mouth(before, moved.patch, moved.mask)
        near(
            finished(networks["gfpgan_v1.3"], networks["parsenet"], before, pasted, moved.mask),
            done,
        )


def near(theirs: Picture, ours: Picture, *, share: float = 0.999) -> None:
    """Within two levels."""
    assert ours.any()
    alike = (np.abs(theirs.astype(int) - ours) <= 2).all(-1).mean()
    assert alike >= share, f"{alike:.4f}"


def tensor(picture: Any) -> torch.Tensor:
    return torch.from_numpy(np.float32(picture.transpose(2, 0, 1)[None]))


def levels(image: torch.Tensor) -> Picture:
    """-1..1 → 8 bit."""
    return rounded((image[0].permute(1, 2, 0).numpy() + 1) / 2 * 255)


def rounded(values: NDArray[Any]) -> Picture:
    return np.uint8(np.rint(values.clip(0, 255)))


def coefficients(network: nn.Module, face: Picture, points: NDArray[Any]) -> NDArray[Any]:
    found = align(face[..., ::-1], np.stack([points[:, 0], 255 - points[:, 1]], 1))
    return np.append(network(tensor(found.image / 255)).numpy(), found.transform)


def reposed(network: nn.Module, face: Picture, semantic: NDArray[Any], row: int) -> Picture:
    rows = [min(max(i, 0), FRAMES - 1) for i in range(row - 13, row + 13)]
    parts = ((80, 144), (224, 227), (254, 257), (259, 262))
    window = np.concatenate([semantic[rows, a:b] for a, b in parts], 1)
    image = tensor(face[..., ::-1] / 127.5 - 1)
    made = network(image, torch.FloatTensor(window.T)[None])["fake_image"]
    return levels(made)[..., ::-1]


def sharpened(
    network: nn.Module, parser: nn.Module, face: Picture, points: NDArray[Any]
) -> Picture:
    """GPEN's process: a soft paste, then a sharp one."""
    rgb, size = np.ascontiguousarray(face[..., ::-1]), (512, 512)
    square = (ARCFACE_POINTS + np.array([8 + 28, 28])) * (512 / 168)
    affine = SimilarityTransform.from_estimate(five_points(points), square)
    there, back = affine.params[:2], np.linalg.inv(affine.params)[:2]
    crop = cv2.warpAffine(rgb, there, size)
    image = network(tensor(crop / 127.5 - 1))[0].clamp(-1, 1)
    labels = parser(image)[0].argmax(1)[0].numpy()
    hard = np.isin(labels, (1, 2, 3, 4, 5, 6, 7, 10, 11, 12)).astype(np.float32)
    soft = np.zeros_like(hard)
    soft[20:-20, 20:-20] = hard[20:-20, 20:-20]
    for _ in range(2):
        soft = cv2.GaussianBlur(soft, (101, 101), 11)
    over, soft, hard = (
        cv2.warpAffine(each, back, (256, 256)).astype(np.float32)
        for each in (levels(image), soft, hard)
    )
    hard = cv2.GaussianBlur(hard, (0, 0), sigmaX=1, sigmaY=1)
    once = rgb * (1 - soft[..., None]) + over * soft[..., None]
    twice = once * (1 - hard[..., None]) + over * hard[..., None]
    return rounded(twice)[..., ::-1]


def laid_over(
    crop: Picture, face: Picture, points: NDArray[Any], cut: NDArray[Any], box: NDArray[Any]
) -> Picture:
    """The crop with what its upright square holds of the face, sampled once."""
    y, x = np.mgrid[:384, :384] + 0.5
    places = np.stack([x, y], -1) / 384 * (box[2:] - box[:2]) + box[:2]
    places = (places - cut[:2]) / (cut[2:] - cut[:2]) * 256 - 0.5
    quad = face_quads(points)
    sides = np.roll(quad, -1, 0) - quad
    away = places[..., None, :] - quad
    turned = sides[:, 0] * away[..., 1] - sides[:, 1] * away[..., 0]
    inside = (turned >= 0).all(-1) | (turned <= 0).all(-1)
    inside &= ((places >= -0.5) & (places < 255.5)).all(-1)
    seen = cv2.remap(
        face,
        *np.float32(places.transpose(2, 0, 1)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.where(inside[..., None], seen, crop)


def lips(
    network: nn.Module, heard: NDArray[Any], own: Picture, shown: Picture, row: int
) -> Picture:
    """L-Net and E-Net on BGR in 0..1."""
    masked = own.copy()
    masked[192:] = 0
    both = tensor(np.concatenate((masked, shown), 2) / 255)
    start = int(row * 80.0 / 25)
    chunk = heard[:, min(start, heard.shape[1] - 16) :][:, :16]
    made, _ = network(
        torch.FloatTensor(chunk)[None, None],
        both,
        tensor(shown / 255),
        noise=[torch.zeros(())] * 4,
    )
    return rounded(made[0].permute(1, 2, 0).numpy() * 255)


def finished(
    network: nn.Module, parser: nn.Module, own: Picture, face: Picture, mask: Picture
) -> Picture:
    """GFPGAN's mouth, then the face's skin, each by a pyramid."""
    image = network(tensor(face / 127.5 - 1), return_rgb=False, randomize_noise=False)[0]
    image = image.clamp(-1, 1)
    labels = parser(image)[0].argmax(1)[0].numpy()
    mouth = np.isin(labels, (10, 11, 12)) * np.float32(mask > 0)
    face = rounded(pyramid(levels(image), face, mouth, 10))
    skin = np.isin(labels, (1, 2, 3, 4, 5, 6, 7, 10, 11, 12)).astype(np.float32)
    skin = cv2.GaussianBlur(skin, (0, 0), sigmaX=1, sigmaY=1) * np.float32(mask > 0)
    return rounded(pyramid(face, own, skin, 6))


def pyramid(a: Picture, b: Picture, mask: NDArray[Any], count: int) -> NDArray[Any]:
    """Burt and Adelson's blending, level by level from the coarsest."""
    downs: list[list[Any]] = [[a], [b], [mask]]
    for each in downs:
        for _ in range(count - 1):
            each.append(cv2.pyrDown(each[-1]))
    first, second, shares = ([np.float32(level) for level in each] for each in downs)
    made = np.float32(0)
    for level in reversed(range(count)):
        bands = [first[level], second[level]]
        if level < count - 1:
            bands = [fine[level] - cv2.pyrUp(fine[level + 1]) for fine in (first, second)]
            made = cv2.pyrUp(made)
        share = shares[level][..., None]
        made = made + bands[0] * share + bands[1] * (1 - share)
    return made
