"""S3FD, the single shot scale-invariant face detector (Zhang et al. 2017, section 3).

VGG-16 with six detection layers of strides 4 to 128, each one anchor of side 4 x stride a place.
Two files are published, with other names for the same layers and another `fc6`: face-alignment's
(also in Wav2Lip and VideoReTalking) and that of syncnet_python.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float32, Num
from torch import Tensor, nn
from torch.nn.functional import relu, softmax

from models.faces.detection.boxes import STRIDES, anchors

Convention = Literal["face-alignment", "wav2lip", "syncnet"]

_MEANS: dict[Convention, tuple[float, float, float]] = {
    "face-alignment": (123, 117, 104),  # BGR minus (104, 117, 123), then flipped to BGR below
    "wav2lip": (104, 117, 123),  # the constants of BGR on RGB: so were its boxes made
    "syncnet": (123, 117, 104),
}


def network_input(
    rgb: Num[Tensor, "n 3 h w"], *, convention: Convention
) -> Float32[Tensor, "n 3 h w"]:
    """The network's input for images; the published systems differ in it and so do their boxes.

    Args:
        rgb: RGB in 0..255.
        convention: `face-alignment` (version 1.3 and later), `wav2lip` (also VideoReTalking and
            face-alignment 1.2; only these two go with `face_alignment_s3fd`) or `syncnet`
            (for `SyncNetS3FD`).

    Returns:
        Means subtracted; BGR for `face-alignment`, else RGB.
    """
    if convention not in _MEANS:
        raise ValueError(f"there is no convention {convention!r}; there is {', '.join(_MEANS)}")
    means = torch.tensor(_MEANS[convention], device=rgb.device).view(1, 3, 1, 1)
    centred = rgb.float() - means
    return centred.flip(1) if convention == "face-alignment" else centred


def face_alignment_s3fd() -> nn.Module:
    """S3FD as face-alignment publishes it; the network is that package's.

    Its forward takes (n, 3, h, w) and gives twelve maps, per stride 4, 8, ... 128 the class logits
    (n, 2, h', w') background and face, and the box offsets (n, 4, h', w'): see `boxes.candidates`.
    """
    from face_alignment.detection.sfd.net_s3fd import s3fd

    network = s3fd()
    assert isinstance(network, nn.Module)
    return network


class Detections(NamedTuple):
    """Boxes before decoding, one row an anchor: strides in order, in each rows then columns.

    Attributes:
        offsets: boxes as offsets from the priors.
        confidence: probabilities of background and face.
        priors: anchors as centre x, y and width, height, as shares of the image's sides.
    """

    offsets: Float[Tensor, "n k 4"]
    confidence: Float32[Tensor, "n k 2"]
    priors: Float32[Tensor, "k 4"]


class SyncNetS3FD(nn.Module):
    """S3FD in the layout of syncnet_python, whose crops SyncNet's published scores refer to."""

    _SOURCES = (16, 23, 30, 35)
    """Ends of the parts of `vgg` whose features the detection layers read."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = _vgg_with_wide_fc6()
        self.L2Norm3_3 = ChannelNorm(256, scale=10.0)
        self.L2Norm4_3 = ChannelNorm(512, scale=8.0)
        self.L2Norm5_3 = ChannelNorm(512, scale=5.0)
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, stride=2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, stride=2, padding=1),
            ]
        )
        channels = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList(nn.Conv2d(n, 4, 3, padding=1) for n in channels)
        self.conf = nn.ModuleList(
            # the first layer has three kinds of background: most false boxes are small
            nn.Conv2d(n, 4 if layer == 0 else 2, 3, padding=1)
            for layer, n in enumerate(channels)
        )

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Detections:
        """Faces before decoding and suppression, at one scale.

        Args:
            image: Of `network_input` with the convention `syncnet`.
        """
        offsets, logits, sizes = [], [], []
        for layer, source in enumerate(self._sources(image)):
            offset, classes = self.loc[layer](source), self.conf[layer](source)
            if layer == 0:
                background = classes[:, :3].amax(1, keepdim=True)
                classes = torch.cat([background, classes[:, 3:]], 1)
            sizes.append((source.shape[2], source.shape[3]))
            offsets.append(offset.flatten(2).mT)
            logits.append(classes.flatten(2).mT)
        height, width = image.shape[2:]
        levels = zip(sizes, STRIDES, strict=True)
        priors = torch.cat([anchors(*size, stride) for size, stride in levels])
        priors = priors / torch.tensor([width, height, width, height], dtype=priors.dtype)
        return Detections(
            torch.cat(offsets, 1),
            softmax(torch.cat(logits, 1).float(), -1),
            priors.float().to(image.device),
        )

    def _sources(self, image: Tensor) -> list[Tensor]:
        sources, start, features = [], 0, image
        for end in self._SOURCES:
            features = self.vgg[start:end](features)
            sources.append(features)
            start = end
        for norm, layer in ((self.L2Norm3_3, 0), (self.L2Norm4_3, 1), (self.L2Norm5_3, 2)):
            sources[layer] = norm(sources[layer])
        for narrow, halve in (self.extras[:2], self.extras[2:]):
            features = relu(halve(relu(narrow(features))))
            sources.append(features)
        return sources


class ChannelNorm(nn.Module):
    """Scales the vector at each place to lengths learnt per channel (Liu et al. 2015)."""

    def __init__(self, channels: int, *, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Features scaled to the learnt lengths."""
        length = features.pow(2).sum(1, keepdim=True).sqrt() + 1e-10
        return features / length * self.weight.view(1, -1, 1, 1)


def _vgg_with_wide_fc6() -> nn.Sequential:
    """VGG-16's 13 convolutions, then fc6 (dilated by 6) and fc7 as convolutions."""
    layers: list[nn.Module] = []
    channels = 3
    for stage, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        for _ in range(depth):
            # not in place: the features after a ReLU are also what a detection layer reads
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2, ceil_mode=stage == 2))
    layers += [nn.Conv2d(channels, 1024, 3, padding=6, dilation=6), nn.ReLU()]
    layers += [nn.Conv2d(1024, 1024, 1), nn.ReLU()]
    return nn.Sequential(*layers)
