"""What Deep3DFaceRecon minimises to learn its regressor without 3D labels (section 3.2).

Each function gives the plain loss; WEIGHTS are those of the published training.
"""

from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from models.deep3d.face_model import Coefficients
from models.tensors import Images, PerVertex, Points68, Scalar

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


def photo_loss(
    image: Images, target: Images, mask: Float[Tensor, "batch 1 height width"]
) -> Scalar:
    """Mean colour distance where the mask is.

    Args:
        image: RGB, 0..1.
        target: Likewise.
        mask: Weight of each pixel, 0..1.
    """
    # the constant keeps the root's gradient finite where nothing differs
    distance = (1e-6 + (image - target).square().sum(1, keepdim=True)).sqrt()
    return (distance * mask).sum() / mask.sum().clamp(min=1)


def landmark_loss(points: Points68, target: Points68) -> Scalar:
    """Mean squared distance of the 68 points; nose and inner lips count 20 times.

    Args:
        points: In the image [px].
        target: Likewise.
    """
    weight = points.new_ones(points.shape[1])
    weight[list(_NOSE_AND_INNER_LIPS)] = 20
    return ((points - target).square().sum(-1) * weight).mean()


def feature_loss(
    feature: Float[Tensor, "batch feature"], target: Float[Tensor, "batch feature"]
) -> Scalar:
    """1 - cosine of two faces' embeddings.

    Args:
        feature: ArcFace embeddings of length 1.
        target: Likewise.
    """
    return (1 - (feature * target).sum(-1)).mean()


def regularisation_loss(coefficients: Coefficients) -> Scalar:
    """How far a face is from the mean face: weighted sums of squares, mean over the batch."""
    total = (
        coefficients.identity.square().sum()
        + 0.8 * coefficients.expression.square().sum()
        + 1.7e-2 * coefficients.texture.square().sum()
    )
    return total / len(coefficients.identity)


def gamma_loss(light: Float[Tensor, "batch 27"]) -> Scalar:
    """How far the light is from white.

    Args:
        light: Spherical harmonics, colour major.
    """
    by_color = light.reshape(len(light), 3, -1)
    return functional.mse_loss(by_color, by_color.mean(1, keepdim=True).expand_as(by_color))


def reflectance_loss(albedo: PerVertex, skin: Float[Tensor, " vertex"]) -> Scalar:
    """How uneven the skin's albedo is.

    Args:
        albedo: RGB, about 0..1.
        skin: 1 on skin, else 0.
    """
    weight = skin[None, :, None]
    mean = (weight * albedo).sum(1, keepdim=True) / skin.sum()
    return ((albedo - mean) * weight).square().sum() / (len(albedo) * skin.sum())
