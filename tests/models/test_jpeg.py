"""JPEG that gradients pass through, beside OpenCV's encoder."""

from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from models.video_retalking import jpeg as module
from models.video_retalking.jpeg import jpeg
from tests.media_factory import Rgb, faces


@pytest.fixture(scope="module")
def face() -> Rgb:
    return next(islice(faces(192, 160), 1))


def images(picture: Rgb) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def psnr(one: Rgb, other: Rgb) -> float:
    return float(-10 * np.log10(np.square(one / 255.0 - other / 255.0).mean()))


@pytest.mark.parametrize("quality", [20, 60, 75, 95])
def test_pictures_come_out_as_of_a_file(face: Rgb, quality: int) -> None:
    _, file = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]
    made = jpeg(images(face), torch.tensor([float(quality)]))[0].permute(1, 2, 0)
    shown = (made * 255).round().byte().numpy()
    assert psnr(shown, expected) > 43  # files round colours to whole levels before and after
    assert psnr(shown, expected) > psnr(face, expected) + 4, "nearer to the file than the picture"


def test_the_best_quality_leaves_nearly_all(face: Rgb) -> None:
    half = cv2.resize(face, (96, 80), interpolation=cv2.INTER_AREA)
    gray = np.repeat(half.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    made = jpeg(images(gray), torch.tensor([100.0]))
    assert (made - images(gray)).abs().max() < 2 / 255


def test_each_picture_has_its_own_quality(face: Rgb) -> None:
    both = jpeg(images(face).repeat(2, 1, 1, 1), torch.tensor([30.0, 95.0]))
    for row, quality in zip(both, (30.0, 95.0), strict=True):
        torch.testing.assert_close(row[None], jpeg(images(face), torch.tensor([quality])))


def test_the_gradient_is_that_without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding passes it through: so it must equal differences of what is not rounded."""
    generator = torch.Generator().manual_seed(0)
    picture = 0.3 + 0.4 * torch.rand(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    weight = torch.randn(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    quality = torch.tensor([75.0], dtype=torch.float64)
    given = picture.clone().requires_grad_()
    (jpeg(given, quality) * weight).sum().backward()
    assert given.grad is not None
    monkeypatch.setattr(module, "_rounded", lambda values: values)
    for at in ((0, 0, 0, 0), (0, 1, 7, 8), (0, 2, 15, 3)):
        step = torch.zeros_like(picture)
        step[at] = 1e-4
        up, down = ((jpeg(picture + s, quality) * weight).sum() for s in (step, -step))
        assert float(given.grad[at]) == pytest.approx(float(up - down) / 2e-4, rel=1e-5)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        jpeg(torch.zeros(1, 3, 16, 24), torch.tensor([75.0]))
