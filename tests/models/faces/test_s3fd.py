"""S3FD: frames of any size, batches, and what is left after suppression."""

import numpy as np
import pytest
import torch

from models.faces.detection import boxes
from models.faces.detection.s3fd import SyncNetS3FD, network_input


def _maps(height: int, width: int, *, images: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    found = []
    for stride in boxes.STRIDES:
        size = (-(-height // stride), -(-width // stride))
        found.append(torch.randn(images, 2, *size, generator=random) * 3)
        found.append(torch.randn(images, 4, *size, generator=random))
    return found


def test_images_of_a_batch_do_not_see_each_other() -> None:
    maps = _maps(96, 128, images=3)
    together = boxes.faces(maps)
    for number, found in enumerate(together):
        (alone,) = boxes.faces([each[number : number + 1] for each in maps])
        np.testing.assert_array_equal(found, alone)
        assert (found[:, 4] > 0.5).all() and (np.diff(found[:, 4]) <= 0).all()


def test_frames_without_faces_give_no_boxes() -> None:
    maps = [torch.zeros_like(each) for each in _maps(64, 64, images=2)]
    for classes in maps[::2]:
        classes[:, 0] = 9
    assert [found.shape for found in boxes.faces(maps)] == [(0, 5), (0, 5)]
    with pytest.raises(ValueError, match="12 maps, not 10"):
        boxes.faces(maps[:-2])


def test_suppression_keeps_the_better_of_two_and_what_is_apart() -> None:
    found = np.array([[0, 0, 9, 9, 0.6], [1, 0, 10, 9, 0.9], [20, 20, 29, 29, 0.7]])
    np.testing.assert_array_equal(boxes.suppress(found, 0.3), [1, 2])
    halves = np.array([[0, 0, 0.5, 1, 0.6], [0.4, 0, 1, 1, 0.9]])
    np.testing.assert_array_equal(boxes.suppress(halves, 0.3, inclusive=False), [1, 0])


def test_syncnet_layout_takes_odd_frames_batches_and_half_precision() -> None:
    network = SyncNetS3FD().eval()
    rgb = torch.randint(0, 256, (2, 3, 75, 101), dtype=torch.uint8)
    image = network_input(rgb, convention="syncnet").to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        offsets, confidence, priors = network(image)
    assert offsets.shape == (2, *priors.shape) and confidence.shape == (2, len(priors), 2)
    torch.testing.assert_close(confidence.float().sum(-1), torch.ones(2, len(priors)))


def test_conventions_differ_in_order_and_means() -> None:
    rgb = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = {
        "face-alignment": [30 - 104, 20 - 117, 10 - 123],
        "wav2lip": [10 - 104, 20 - 117, 30 - 123],
        "syncnet": [10 - 123, 20 - 117, 30 - 104],
    }
    for convention, values in expected.items():
        assert network_input(rgb, convention=convention).flatten().tolist() == values  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError), match="'vgg'"):
        network_input(rgb, convention="vgg")  # type: ignore[arg-type]
