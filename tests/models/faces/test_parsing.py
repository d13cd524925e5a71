"""ParseNet beside the layers that it is published with."""

import pytest
import torch
from torch.nn import functional

from models.faces.parsing.parsenet import parsenet


@pytest.mark.parametrize("size", [(1, 2), (2, 2), (3, 5)])
def test_convolutions_of_enlarged_images_equal_those_of_the_images_written_out(
    size: tuple[int, int],
) -> None:
    layer = parsenet().get_submodule("decoder.0.shortcut_func")
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((2, 256, *size), generator=generator)
    enlarged = functional.interpolate(image, scale_factor=2.0)
    with torch.inference_mode():
        padded = functional.pad(enlarged, (1, 1, 1, 1), mode="reflect")
        expected = layer.get_submodule("conv2d")(padded)
        torch.testing.assert_close(layer(image), expected, rtol=1e-5, atol=1e-5)
