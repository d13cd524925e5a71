"""The Inception v3 of the Fréchet inception distance (Heusel et al. 2017).

torchvision's network, with the differences of the TensorFlow graph of 2015 as pytorch-fid has them:
1008 classes, means over real neighbours only, and a maximum in the last block's pooling branch.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d
from torchvision.models import inception

SIDE_PX = 299


def _mean_of_neighbours(features: Tensor) -> Tensor:
    return avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(inception.InceptionA):  # type: ignore[misc]  # torchvision is untyped
    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        pooled = self.branch_pool(_mean_of_neighbours(x))
        return torch.cat([self.branch1x1(x), wide, double, pooled], 1)


class _BlockC(inception.InceptionC):  # type: ignore[misc]  # torchvision is untyped
    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        pooled = self.branch_pool(_mean_of_neighbours(x))
        return torch.cat([self.branch1x1(x), wide, double, pooled], 1)


class _BlockE(inception.InceptionE):  # type: ignore[misc]  # torchvision is untyped
    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(wide),
            self.branch3x3_2b(wide),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self._pool(x)),
        ]
        return torch.cat(parts, 1)

    def _pool(self, x: Tensor) -> Tensor:
        return _mean_of_neighbours(x)


class _LastBlock(_BlockE):
    def _pool(self, x: Tensor) -> Tensor:
        return max_pool2d(x, 3, stride=1, padding=1)


class FidInception(inception.Inception3):  # type: ignore[misc]  # torchvision is untyped
    """Features of images for the Fréchet inception distance."""

    def __init__(self) -> None:
        blocks: list[type[nn.Module]] = [
            inception.BasicConv2d,
            _BlockA,
            inception.InceptionB,
            _BlockC,
            inception.InceptionD,
            _BlockE,
            inception.InceptionAux,
        ]
        super().__init__(1008, aux_logits=False, inception_blocks=[*blocks], init_weights=False)
        self.Mixed_7c = _LastBlock(2048)
        # dead: `fc` is in the published file, FID does not use it

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        """Features of RGB images in 0..1; they are resized to 299 x 299.

        Bilinear without anti-aliasing, as pytorch-fid resizes.
        """
        resized = interpolate(image, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
        features = 2 * resized - 1
        for stage in (
            *(self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3, self.maxpool1),
            *(self.Conv2d_3b_1x1, self.Conv2d_4a_3x3, self.maxpool2),
            *(self.Mixed_5b, self.Mixed_5c, self.Mixed_5d),
            *(self.Mixed_6a, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e),
            *(self.Mixed_7a, self.Mixed_7b, self.Mixed_7c, self.avgpool),
        ):
            features = stage(features)
        return features.flatten(1)
