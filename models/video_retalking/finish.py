"""VideoReTalking's last steps: teeth by a restoration network, and blending by what ParseNet sees.

Pictures are RGB squares of the whole face, aligned for the restoration network.
"""

import math

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor, nn

from models.arrays import Crop, CropMask
from models.tensors import ImageBytes
from models.video_retalking.settings import Paste
from models.video_retalking.steps import laplacian_blend, soften_mask

SIZE = 512
"""Side of what the networks take [px]."""
MOUTH = (10, 11, 12)
"""ParseNet's labels of the inside of the mouth and of the lips."""
SKIN = (*range(1, 8), *MOUTH)
"""Of the face without ears, hair and neck."""
_SKIN_LEVELS = 6


class Finisher(nn.Module):
    """Restores faces and labels their parts.

    Args:
        restorer: GFPGAN or GPEN; None leaves faces as they are.
        parser: ParseNet; None labels nothing.
        options: The restorer's.
    """

    def __init__(
        self, restorer: nn.Module | None, parser: nn.Module | None, **options: bool
    ) -> None:
        super().__init__()
        self.restorer, self.parser, self.options = restorer, parser, options

    def forward(self, faces: ImageBytes) -> UInt8[Tensor, "batch height width channel"]:
        """Restored faces, RGB, and as a fourth channel ParseNet's labels of them."""
        image = faces.permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.restorer is not None:
            image = self.restorer(image, **self.options)[0]
            image = image.float().clamp(-1, 1)
        said = [((image + 1) * 127.5).round()]
        if self.parser is not None:
            said.append(self.parser(image)[0].argmax(1, keepdim=True))
        return torch.cat(said, 1).to(torch.uint8).permute(0, 2, 3, 1)


def gpen_mask(
    labels: UInt8[np.ndarray, "512 512"], *, zoom: float = 1.0
) -> Float64[np.ndarray, "512 512"]:
    """How much of each pixel of a crop is taken from GPEN, 0..1.

    As if pasted twice: with a wide soft edge, then skin alone with an edge of a picture's pixel.

    Args:
        labels: By ParseNet.
        zoom: Pixels of the crop to one of the picture.
    """
    skin = np.isin(labels, SKIN).astype(np.float32)
    sharp = cv2.GaussianBlur(skin, (0, 0), zoom)
    return np.asarray(1 - (1 - soften_mask(skin)) * (1 - sharp), np.float64)


def with_mouth(own: Crop, patch: Crop, mask: CropMask) -> Crop:
    """A face with its new mouth pasted in, edges hard.

    Args:
        own: The face.
        patch: The mouth in the same crop, black away from it.
        mask: Where it is.
    """
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0  # the patch is dark at its rim
    return np.asarray(np.where(inside[..., None], patch, own), np.uint8)


def finished(
    own: Crop,
    face: Crop,
    mask: CropMask,
    said: UInt8[np.ndarray, "512 512 4"],
    *,
    teeth: bool,
    paste: Paste,
) -> tuple[Crop, CropMask]:
    """The face with a restored mouth, and where it shows.

    Args:
        own: The face as filmed.
        face: The same with a new mouth, of `with_mouth`.
        mask: Of the mouth.
        said: By `Finisher`, of the face with its new mouth.
        teeth: Take the restored mouth.
        paste: soft: the mask stays; published: what is skin, blended in frequency bands.
    """
    size = len(own)
    if teeth:
        restored = np.asarray(cv2.resize(said[..., :3], (size, size)), np.uint8)
        mouth = _share(said, MOUTH, size) * (mask > 0)
        face = _blended(restored, face, mouth, math.floor(math.log2(size)) + 1)
    if paste == "published":
        skin = cv2.GaussianBlur(_share(said, SKIN, size), (0, 0), 1) * (mask > 0)
        face = _blended(face, own, np.asarray(skin, np.float32), _SKIN_LEVELS)
        mask = np.asarray(255 * (face != own).any(-1), np.uint8)
    return face, mask


def _share(
    said: UInt8[np.ndarray, "512 512 4"], labels: tuple[int, ...], size: int
) -> Float32[np.ndarray, "{size} {size}"]:
    found = np.isin(said[..., 3], labels).astype(np.float32)
    return np.asarray(cv2.resize(found, (size, size)), np.float32)


def _blended(
    inside: Crop, outside: Crop, mask: Float32[np.ndarray, "size size"], levels: int
) -> Crop:
    found = laplacian_blend(inside, outside, mask, levels=levels)
    return np.asarray(np.rint(found.clip(0, 255)), np.uint8)
