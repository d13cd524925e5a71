"""What Deep3DFaceRecon minimises to learn its regressor without 3D labels (section 3.2).

Each function gives the plain loss; WEIGHTS are those of the published training.
"""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional

from models.deep3d.face_model import Coefficients

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "feature": 0.2,
        "photo": 1.92,
        "landmark": 1.6e-3,
        "regularisation": 3e-4,
        "gamma": 10.0,
        "reflectance": 5.0,
    }
)
_NOSE_AND_INNER_LIPS = (*range(28, 31), *range(60, 68))


def photo_loss(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean colour distance where the mask is.

    Args:
        image: (batch, 3, height, width) RGB, 0..1.
        target: Likewise.
        mask: (batch, 1, height, width) weight of each pixel, 0..1.
    """
    # the constant keeps the root's gradient finite where nothing differs
    distance = (1e-6 + (image - target).square().sum(1, keepdim=True)).sqrt()
    return (distance * mask).sum() / mask.sum().clamp(min=1)


def landmark_loss(points: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of the 68 points; nose and inner lips count 20 times.

    Args:
        points: (batch, 68, 2) [px].
        target: Likewise.
    """
    weight = points.new_ones(points.shape[1])
    weight[list(_NOSE_AND_INNER_LIPS)] = 20
    return ((points - target).square().sum(-1) * weight).mean()


def feature_loss(feature: Tensor, target: Tensor) -> Tensor:
    """1 - cosine of two faces' embeddings.

    Args:
        feature: (batch, n) ArcFace embeddings of length 1.
        target: Likewise.
    """
    return (1 - (feature * target).sum(-1)).mean()


def regularisation_loss(
    coefficients: Coefficients,
    *,
    identity: float = 1.0,
    expression: float = 0.8,
    texture: float = 1.7e-2,
) -> Tensor:
    """How far a face is from the mean face: weighted sums of squares, mean over the batch."""
    total = (
        identity * coefficients.identity.square().sum()
        + expression * coefficients.expression.square().sum()
        + texture * coefficients.texture.square().sum()
    )
    return total / len(coefficients.identity)


def gamma_loss(light: Tensor) -> Tensor:
    """How far the light is from white.

    Args:
        light: (batch, 27), colour major.
    """
    by_color = light.reshape(len(light), 3, -1)
    return functional.mse_loss(by_color, by_color.mean(1, keepdim=True).expand_as(by_color))


def reflectance_loss(albedo: Tensor, skin: Tensor) -> Tensor:
    """How uneven the skin's albedo is.

    Args:
        albedo: (batch, vertex, 3).
        skin: (vertex,) 1 on skin, else 0.
    """
    weight = skin[None, :, None]
    mean = (weight * albedo).sum(1, keepdim=True) / skin.sum()
    return ((albedo - mean) * weight).square().sum() / (len(albedo) * skin.sum())
