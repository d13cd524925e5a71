"""The three encoders: who it is, what is seen of the face, what is heard."""

from dataclasses import dataclass

import torch
from face_alignment.models.fan import ConvBlock, HourGlass
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.stylegan2_face.settings import EmbeddingSize, IdentitySize
from models.stylegan2_face.speech import COEFFICIENTS
from models.tensors import FeatureMaps, Images

Features = Float[Tensor, "batch feature"]
CepstraWindows = Float[Tensor, "batch 20 12"]  # of `speech.windows`
Heatmaps = Float[Tensor, "batch 68 quarter quarter"]

LIPS = tuple(range(48, 68))
EYES = (*range(17, 27), *range(36, 48))
CONTOUR = (*range(17), *range(27, 36))
"""Of iBUG's 68 points: lips; eyes and brows; contour and nose."""
_DEPTH = 4
_SLOPE = 0.2
_FAINT = 1e-3
"""Deviation of the heatmaps' first weights: maps begin empty, which most of each is, not noisy."""


@dataclass(frozen=True)
class Identity:
    """What the identity encoder says of pictures.

    Attributes:
        feature: (batch, 8 width) mean of the coarsest map.
        maps: By side [px], coarse to fine: 8, 10, 5 and 2 times the width at a 32nd, 16th, 8th and
            4th of the picture's side.
    """

    feature: Features
    maps: dict[int, Tensor]

    @property
    def finest(self) -> Tensor:
        """The map that still may hold speech."""
        return self.maps[max(self.maps)]

    def repeated(self, times: int) -> "Identity":
        """Each picture's, so many times in a row."""
        return Identity(
            self.feature.repeat_interleave(times, 0),
            {side: each.repeat_interleave(times, 0) for side, each in self.maps.items()},
        )


class _MaxFeature(nn.Module):
    """The larger of two convolutions, each normalised over the batch."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(2 * outputs)

    def forward(self, features: FeatureMaps) -> Tensor:
        first, second = self.norm(self.conv(features)).split(self.outputs, 1)
        return torch.maximum(first, second)


def map_channels(size: IdentitySize) -> dict[int, int]:
    """Channels of the identity's maps by their side [px], coarse to fine."""
    return {size.side // n: size.identity_width * k for n, k in ((32, 8), (16, 10), (8, 5), (4, 2))}


class IdentityEncoder(nn.Module):
    """A picture → who it is, as DAVS has it; the map behind the stem is not given out.

    Args:
        size: Layout.
    """

    def __init__(self, size: IdentitySize | None = None) -> None:
        super().__init__()
        self.size = size or IdentitySize()
        w = self.size.identity_width
        self.stem = _MaxFeature(3, w, 7, 2)
        self.levels = nn.ModuleList()
        inputs = w
        for factors in ((1, 1, 2, 2), (3, 3, 4, 4, 5, 5), (10,) * 4, (8, 8)):
            blocks: list[nn.Module] = []
            for factor in factors:
                kernel = 5 if factors == (8, 8) and blocks else 3
                blocks.append(_MaxFeature(inputs, factor * w, kernel))
                inputs = factor * w
            self.levels.append(nn.Sequential(*blocks))

    def forward(self, pictures: Images) -> tuple[Features, list[Tensor]]:
        """Feature and maps, fine to coarse, of `Identity`; see `identity`."""
        features: Tensor = self.stem(pictures)
        maps = []
        for level in self.levels:
            features = level(functional.max_pool2d(features, 2))
            maps.append(features)
        return features.mean((2, 3)), maps

    def identity(self, pictures: Images) -> Identity:
        """Who is seen.

        Args:
            pictures: RGB -1..1, of the size's side.
        """
        feature, maps = self(pictures)
        return Identity(feature, {each.shape[-1]: each for each in reversed(maps)})


class Embedding(nn.Module):
    """The encoders of speech and of video, whose lip features are to be alike.

    Args:
        size: Layout.

    Attributes:
        audio: Hears.
        video: Sees.
    """

    def __init__(self, size: EmbeddingSize | None = None) -> None:
        super().__init__()
        self.size = size or EmbeddingSize()
        self.audio = AudioEncoder(self.size)
        self.video = VideoEncoder(self.size)


class VideoEncoder(nn.Module):
    """A face → lip feature and the rest's, through heatmaps of FAN's first hourglass.

    Names are those of the face-alignment package, so that FAN's weights fit. A head looks at the
    maps of its points alone: [P] wants three kinds of motion from one FAN, and maps are by
    landmark.

    Args:
        size: Layout.
    """

    def __init__(self, size: EmbeddingSize) -> None:
        super().__init__()
        width, self.side = size.fan_width, size.side
        self.conv1 = nn.Conv2d(3, width // 4, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = ConvBlock(width // 4, width // 2)
        self.conv3 = ConvBlock(width // 2, width // 2)
        self.conv4 = ConvBlock(width // 2, width)
        self.m0 = HourGlass(1, _DEPTH, width)
        self.top_m_0 = ConvBlock(width, width)
        self.conv_last0 = nn.Conv2d(width, width, 1)
        self.bn_end0 = nn.BatchNorm2d(width)
        self.l0 = nn.Conv2d(width, 68, 1)
        nn.init.normal_(self.l0.weight, std=_FAINT)
        nn.init.zeros_(self.l0.bias)  # type: ignore[arg-type]
        area, half = (size.side // 8) ** 2, size.features // 2
        self.lips = _Head(LIPS, area, size.features)
        groups = [EYES, CONTOUR] if size.face_groups == "eyes_contour" else [EYES]
        self.rest = nn.ModuleList(_Head(points, area, half) for points in groups)

    def heatmaps(self, frames: Images) -> Heatmaps:
        """Where each of iBUG's 68 points is, at a quarter of the side.

        Args:
            frames: RGB -1..1.
        """
        found = functional.relu(self.bn1(self.conv1((frames + 1) / 2)))
        found = functional.avg_pool2d(self.conv2(found), 2)
        found = self.m0(self.conv4(self.conv3(found)))
        found = functional.relu(self.bn_end0(self.conv_last0(self.top_m_0(found))))
        maps: Tensor = self.l0(found)
        return maps

    def forward(self, frames: Images) -> tuple[Features, Float[Tensor, "batch _face"], Heatmaps]:
        """Lip feature, feature of the rest of the face, and the maps that tell them.

        Args:
            frames: RGB -1..1, of the size's side.
        """
        maps = self.heatmaps(frames)
        return self.lips(maps), torch.cat([head(maps) for head in self.rest], 1), maps


class _Head(nn.Module):
    """Some of the maps → a feature, by one map in between, as DAVS has it.

    DAVS rectifies that map. One that is nowhere positive never learns again, and that of the eyes
    came to it in one training: here it leaks (ours).
    """

    def __init__(self, points: tuple[int, ...], area: int, features: int) -> None:
        super().__init__()
        self.points = list(points)
        self.norm = nn.BatchNorm2d(len(points))
        self.conv = nn.Conv2d(len(points), 1, 3, 2, 1)
        self.linear = nn.Linear(area, features)

    def forward(self, maps: Heatmaps) -> Features:
        joined = self.conv(functional.relu(self.norm(maps[:, self.points])))
        feature: Tensor = self.linear(functional.leaky_relu(joined.flatten(1), _SLOPE))
        return feature


class AudioEncoder(nn.Module):
    """0.2 s of cepstra → a feature that a lip feature may take the place of.

    Args:
        size: Layout.

    Attributes:
        mean: Of each coefficient in the training's speech.
        spread: Likewise, standard deviation.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, size: EmbeddingSize) -> None:
        super().__init__()
        w = size.audio_width
        self.register_buffer("mean", torch.zeros(COEFFICIENTS))
        self.register_buffer("spread", torch.ones(COEFFICIENTS))
        self.whole = nn.Sequential(
            *_normed(nn.Conv2d(1, w, 3, (3, 2), (1, 2))),
            *_normed(nn.Conv2d(w, 2 * w, 3, 2, 1)),
            *_normed(nn.Conv2d(2 * w, 4 * w, 3)),
            nn.Conv2d(4 * w, 8 * w, 2),
        )
        # Over time; what DAVS calls pooling here has windows of 1, and only picks.
        self.steps = nn.Sequential(
            *_normed(nn.Conv2d(1, w, (3, COEFFICIENTS))),
            nn.MaxPool2d(1, (3, 1)),
            *_normed(nn.Conv2d(w, 4 * w, (3, 1), padding=(1, 0))),
            nn.MaxPool2d(1, (2, 1)),
            nn.Conv2d(4 * w, 8 * w, (3, 1)),
        )
        self.linear = nn.Linear(16 * w, size.features)

    def normalised(self, cepstra: CepstraWindows) -> CepstraWindows:
        """The windows by the training's statistics."""
        return (cepstra - self.mean) / self.spread

    def forward(self, cepstra: CepstraWindows) -> Features:
        """The feature.

        Args:
            cepstra: Of `speech.windows`, as they are.
        """
        heard = self.normalised(cepstra)[:, None]
        joined = torch.cat([self.whole(heard).flatten(1), self.steps(heard).flatten(1)], 1)
        feature: Tensor = self.linear(joined)
        return feature


def _normed(layer: nn.Conv2d) -> tuple[nn.Module, ...]:
    return layer, nn.BatchNorm2d(layer.out_channels), nn.LeakyReLU(_SLOPE)
