"""The decoders: features and the identity's maps → a picture."""

from collections.abc import Mapping, Sequence
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.stylegan2.layers import EPS, EqualLinear, StyledConv
from models.stylegan2.pyramid import Pyramid, channels_of
from models.stylegan2_face.alignment import EYE_BOX, MOUTH_BOX, box_in
from models.stylegan2_face.encoders import Features, map_channels
from models.stylegan2_face.settings import FaceSize
from models.stylegan2_face.standardised import Standardised
from models.tensors import AnyMaps, FeatureMaps, Images

_DAVS = ((2, 512), (3, 512), (4, 256), (4, 256), (3, 128), (2, 64))
"""Convolutions of each size of DAVS's decoder, and their channels."""
_JOINED = 3
"""Before this block the identity's map of its size is joined."""
_Half = Float[Tensor, "batch _half"]
_COLOURS = 0.1
"""Deviation that ToRGB's weights begin with, 1 in StyleGAN2 (ours)."""


def feature_parts(size: FaceSize) -> tuple[int, int, int, int]:
    """Numbers of what a decoder is given together: lips, identity, eyes and brows, contour."""
    eyes = size.eye_features
    return size.features, 8 * size.identity_width, eyes, size.rest_features - eyes


class StyleDecoder(Pyramid):
    """StyleGAN2's synthesis: styles from the features, maps of the identity joined.

    A level's style is made of the features and, with `style_maps`, of the pooled map of its size;
    levels finer than the finest map take that one, coarser ones the feature alone. With `skips` the
    map of a level's size is joined before its second convolution. It is not demodulated, so its
    pixels are normalised first: else the blobs come back that demodulation removed (ours).

    With `regions` styles are of identity and contour alone. Lips and eyes are joined as maps at an
    eighth of the side, which are zero outside of their boxes, so that what they change lies there;
    contour as a map of all of it, as a head that turns moves each part otherwise. Features are
    standardised then, as else those of identity drown those of what a face does.

    Args:
        size: Layout.
    """

    def __init__(self, size: FaceSize) -> None:
        channels = [max(1, round(size.narrow * n)) for n in channels_of(size.side, 2)]
        super().__init__(channels, size.style, 0)
        self.noise = size.noise
        if size.noise == "fixed":
            self.keep_noises()
        maps = map_channels(size)
        self.pooled = [min(side, max(maps)) for side in self.sides] if size.style_maps else []
        self.parts = feature_parts(size)
        self.regions = Regions(size) if size.regions else None
        self.standard = Standardised(sum(self.parts)) if size.regions else nn.Identity()
        inputs = sum(self.parts) if self.regions is None else self.parts[1] + self.parts[3]
        extra = [maps.get(side, 0) for side in self.pooled] or [0] * len(self.sides)
        self.styles = nn.ModuleList(
            EqualLinear(inputs + more, size.style, activate=True) for more in extra
        )
        self.joined = maps if size.skips else {}
        for level, side in enumerate(self.sides[1:]):
            wide, more = channels[level + 1], self.joined.get(side, 0)
            if self.regions is not None and side == self.regions.side:
                more += self.regions.channels
            if more:
                self.convs[2 * level + 1] = StyledConv(wide + more, wide, size.style)
        for to_rgb in (self.to_rgb1, *self.to_rgbs):
            # Else the levels' colours add up to far beyond -1..1, which takes long to unlearn.
            nn.init.normal_(to_rgb.conv.weight, std=_COLOURS)
        if size.noise == "none":
            for layer in self.modules():
                if isinstance(layer, StyledConv):
                    layer.noise = _NoNoise()  # type: ignore[assignment]

    def forward(
        self,
        features: Features,
        maps: Mapping[int, AnyMaps],
        noise: Sequence[Tensor | None] | None = None,
    ) -> Images:
        """Pictures, RGB -1..1, not clipped.

        Args:
            features: Lip, identity and face feature.
            maps: Of the identity, by their side.
            noise: Of each layer, of `frame_noise`; None: as the size has it.
        """
        pooled = {side: each.mean((2, 3)) for side, each in maps.items()}
        told = [[pooled[side]] if side in pooled else [] for side in self.pooled]
        told = told or [[]] * len(self.sides)
        styled = features = self.standard(features)
        lips, who, eyes, contour = torch.split(features, list(self.parts), 1)
        if self.regions is not None:
            styled = torch.cat([who, contour], 1)
        styles = [
            style(torch.cat([styled, *more], 1))
            for style, more in zip(self.styles, told, strict=True)
        ]
        noise = self._noises() if noise is None else noise
        now: Tensor = self.conv1(self.input(len(features)), styles[0], noise[0])
        picture: Tensor = self.to_rgb1(now, styles[0])
        for level, to_rgb in enumerate(self.to_rgbs):
            style, at = styles[level + 1], 2 * level
            now = self.convs[at](now, style, noise[at + 1])
            side = self.sides[level + 1]
            if side in self.joined:
                now = torch.cat([now, normalised(maps[side]).to(now.dtype)], 1)
            if self.regions is not None and side == self.regions.side:
                now = torch.cat([now, self.regions(lips, eyes, contour).to(now.dtype)], 1)
            now = self.convs[at + 1](now, style, noise[at + 2])
            picture = to_rgb(now, style, picture)
        return picture

    def _noises(self) -> list[Tensor | None]:
        return list(self.noises.buffers()) if self.noise == "fixed" else [None] * self.num_layers


class Regions(nn.Module):
    """Lips and eyes as maps, each within its box, and contour as a map of all of the square.

    Args:
        size: Layout.

    Attributes:
        side: Of the maps [px].
        channels: Of both together.
    """

    def __init__(self, size: FaceSize) -> None:
        super().__init__()
        self.side, wide = size.side // 8, max(1, size.features // 4)
        lips, _, eyes, contour = feature_parts(size)
        self.boxes = [box_in(self.side, box) for box in (MOUTH_BOX, EYE_BOX)]
        shapes = [(r.stop - r.start, c.stop - c.start) for r, c in self.boxes]
        self.shapes = [(wide, *shape) for shape in shapes]
        self.told = nn.ModuleList(
            EqualLinear(inputs, prod(shape), activate=True)
            for inputs, shape in zip((lips, eyes), self.shapes, strict=True)
        )
        self.channels = wide * (2 if contour else 1)
        self.turned = EqualLinear(contour, wide * self.side**2, activate=True) if contour else None

    def forward(self, lips: Features, eyes: _Half, contour: _Half) -> FeatureMaps:
        """(batch, channels, side, side): half of them zero outside of mouth and eyes.

        Args:
            lips: Lip feature.
            eyes: First half of the face feature.
            contour: The other half; empty if there is none.
        """
        count, wide = len(lips), self.shapes[0][0]
        maps = lips.new_zeros(count, wide, self.side, self.side)
        parts = zip((lips, eyes), self.told, self.boxes, self.shapes, strict=True)
        for feature, told, (rows, columns), shape in parts:
            maps[:, :, rows, columns] = told(feature).reshape(count, *shape).to(maps)
        if self.turned is None:
            return maps
        return torch.cat([maps, self.turned(contour).reshape(maps.shape).to(maps)], 1)


class _NoNoise(nn.Module):
    def forward(self, image: FeatureMaps, noise: Tensor | None = None) -> FeatureMaps:
        return image


def normalised(maps: FeatureMaps) -> FeatureMaps:
    """Each pixel with unit mean square over its channels."""
    wide = maps.float()
    return wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + EPS)


class DavsDecoder(nn.Module):
    """DAVS's enlarging convolutions, which the paper replaced (its figure 3).

    Args:
        size: Layout.
    """

    def __init__(self, size: FaceSize) -> None:
        super().__init__()
        start = size.side // 64
        widths = [max(1, round(size.narrow * wide)) for _, wide in _DAVS]
        self.start = nn.Sequential(
            nn.ConvTranspose2d(sum(feature_parts(size)), widths[0], start, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList()
        self.joined = size.side // 8
        inputs = widths[0]
        for number, ((count, _), width) in enumerate(zip(_DAVS, widths, strict=True)):
            inputs += map_channels(size)[self.joined] * (number == _JOINED)
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            self.blocks.append(nn.Sequential(*layers))
        self.last = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1), nn.ReLU(), nn.Conv2d(inputs, 3, 3, padding=1)
        )

    def forward(self, features: Features, maps: Mapping[int, AnyMaps]) -> Images:
        """As of `StyleDecoder`; within -1..1."""
        now: Tensor = self.start(features[:, :, None, None])
        for number, block in enumerate(self.blocks):
            if number == _JOINED:
                now = torch.cat([now, maps[self.joined].to(now.dtype)], 1)
            now = functional.interpolate(
                block(now), scale_factor=2, mode="bilinear", align_corners=False
            )
        return torch.tanh(self.last(now))


def decoder(size: FaceSize) -> StyleDecoder | DavsDecoder:
    """The decoder that a size asks for."""
    return StyleDecoder(size) if size.decoder == "stylegan2" else DavsDecoder(size)
