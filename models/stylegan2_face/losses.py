"""What is learned by: contrast of lips and speech, the discriminators' words, pictures compared."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from models.audiodvp.critic import adversarial_loss
from models.stylegan2_face.alignment import EYE_BOX, MOUTH_BOX, box_in
from models.stylegan2_face.encoders import Heatmaps
from models.tensors import AnyMaps, Images, Scalar

Sequences = Float[Tensor, "batch frame feature"]
PUBLISHED_CLASSES = 500
_UNIFORM = 1e6
"""Of DAVS, for 500 words; scaled by the square of their number, as probabilities are (ours)."""
VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of relu1_1 to relu5_1, as pix2pixHD has them; the paper gives none."""
LIP_SPANS = ((61, 67), (62, 66), (63, 65), (51, 57), (48, 54), (60, 64))
EYE_SPANS = (
    *((37, 41), (38, 40), (43, 47), (44, 46)),
    *((36, 39), (42, 45), (19, 37), (24, 44), (21, 22)),
)
CONTOUR_SPANS = ((30, 2), (30, 14), (30, 8), (27, 30), (30, 33), (27, 8))
"""Pairs of iBUG's points that a feature is to tell the distance of (ours)."""
_WHOLE, _MOUTH = 4.0, 8.0
"""Of DAVS's L1, on grey levels."""


def distances(audio: Sequences, lips: Sequences, *, unit: bool) -> Float[Tensor, "batch batch"]:
    """Of each sequence of speech from each of lips, all their numbers taken as one vector.

    Args:
        audio: Features of speech.
        lips: Features of lips.
        unit: Of unit length, as "normalised L2" has it; else root mean square over frames.
    """
    heard, seen = (_vectors(each, unit=unit) for each in (audio, lips))
    squared = (heard[:, None] - seen[None]).square().sum(2)
    return (squared + 1e-12).sqrt()  # a root's slope at 0 is no number


def contrast(audio: Sequences, lips: Sequences, *, unit: bool) -> Scalar:
    """(Σ_i d_ii² + Σ_{i≠j} max(0, 1 - d_ij)²) / 2N.

    The margin is 1 for raw features, too (ours, the paper's formula is lost): without one all
    lengths would shrink to 0, and one that follows the lengths lets them grow without end.

    Args:
        audio: Features of speech.
        lips: Features of lips, at the same moments.
        unit: Of unit length.
    """
    found = distances(audio, lips, unit=unit)
    own = torch.eye(len(found), dtype=torch.bool, device=found.device)
    apart = functional.relu(1 - found).square()
    total: Tensor = torch.where(own, found.square(), apart).sum() / (2 * len(found))
    return total


def mean_length(audio: Sequences, lips: Sequences) -> Scalar:
    """Mean length of the sequences' features, root mean square over frames."""
    return torch.cat([_vectors(each, unit=False).norm(dim=1) for each in (audio, lips)]).mean()


def _vectors(features: Sequences, *, unit: bool) -> Float[Tensor, "batch number"]:
    flat = features.flatten(1).float()
    return functional.normalize(flat) if unit else flat / features.shape[1] ** 0.5


def uniform_loss(logits: Float[Tensor, "batch class"]) -> Scalar:
    """How far a classifier's probabilities are from "don't know", in DAVS's size."""
    classes = logits.shape[1]
    off = logits.float().softmax(1) - 1 / classes
    return off.square().mean() * (_UNIFORM * (classes / PUBLISHED_CLASSES) ** 2)


def critics_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Scalar:
    """-log D(real) - log(1 - D(fake)), summed over scales, each patch of a scale counting alike."""
    parts = [adversarial_loss(each.float(), real=True) for each in real]
    parts += [adversarial_loss(each.float(), real=False) for each in fake]
    return torch.stack(parts).sum()


def taken_for_real(said: Sequence[Tensor]) -> Scalar:
    """-log D, summed over scales: what whoever shall deceive a critic learns by."""
    return torch.stack([adversarial_loss(each.float(), real=True) for each in said]).sum()


def feature_loss(
    made: Sequence[AnyMaps], true: Sequence[AnyMaps], weights: Sequence[float]
) -> Scalar:
    """Mean absolute differences of feature maps, weighted and summed."""
    parts = [w * functional.l1_loss(a, b) for w, a, b in zip(weights, made, true, strict=True)]
    return torch.stack(parts).sum()


def davs_l1(
    made: Images, true: Images, *, eyes: float = 0.0, counted: AnyMaps | None = None
) -> Scalar:
    """4 times the mean difference of whole pictures and 8 times that of mouths [grey levels].

    Args:
        made: RGB -1..1.
        true: Likewise.
        eyes: So many times that of eyes and brows, too (ours).
        counted: (batch, 1, side, side) how much each pixel counts; None: all alike.
    """
    off = (made - true).abs() * 127.5
    if counted is not None:
        off = off * counted
    boxes = ((MOUTH_BOX, _MOUTH), (EYE_BOX, eyes))
    parts = [w * off[:, :, *box_in(off.shape[-1], box)].mean() for box, w in boxes if w]
    return _WHOLE * off.mean() + torch.stack(parts).sum()


def where_moved(true: Images, still: Images, share: float) -> AnyMaps:
    """How much each pixel counts (batch, 1, side, side), 1 on average.

    What another picture of a face shows, too, can be copied from it; what moves can't (ours).

    Args:
        true: RGB -1..1.
        still: Of the same persons, at another moment.
        share: Of the count that goes by how far the two differ there, 0..1.
    """
    off = (true - still).abs().mean(1, keepdim=True)
    off = functional.avg_pool2d(off, 5, 1, 2)
    return 1 - share + share * off / off.mean((2, 3), keepdim=True).clamp_min(1e-3)


def landmark_loss(
    maps: Heatmaps, points: Float[Tensor, "batch 68 2"], *, side: int, spread: float = 1.0
) -> Scalar:
    """Squared difference from Gaussians of height 1 at the points, summed over pixels.

    Args:
        maps: Of the video encoder.
        points: Where they are in the square [px].
        side: Of the square [px].
        spread: Of a Gaussian [px of a map].
    """
    size = maps.shape[-1]
    centres = torch.arange(size, device=maps.device) + 0.5
    off = (centres - points[..., None] * (size / side)).square() / (2 * spread**2)
    wanted = torch.exp(-off[:, :, 1, :, None] - off[:, :, 0, None, :])
    return (maps.float() - wanted).square().sum((2, 3)).mean()


def spans(points: Float[Tensor, "face 68 2"], pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Distances (face, pair) of pairs of points [their unit]: how far a part of the face is open.

    Args:
        points: iBUG's.
        pairs: Of two points each.
    """
    first, second = torch.tensor(pairs, device=points.device).unbind(1)
    found: Tensor = (points[:, first] - points[:, second]).norm(dim=2)
    return found


def nearer_others(
    audio: Sequences, lips: Sequences, clips: Int[Tensor, " batch"], *, among: int = 32
) -> Float[Tensor, " found"]:
    """Of each sequence of speech the share of others' lips that are nearer than its own.

    Its own lips are compared with those of the next `among - 1` windows of other clips; fewer if
    there are not so many, and none where all are of one clip. 0: it finds its own, by chance 1 in
    `among`; the mean by chance is 0.5.

    Args:
        audio: Features of speech.
        lips: Of the same moments.
        clips: From which each is.
        among: Windows that are compared, its own counted.
    """
    heard, seen = (functional.normalize(each.flatten(1).float()) for each in (audio, lips))
    alike, order = (heard @ seen.T).cpu(), torch.arange(len(clips))
    clips = clips.cpu()
    found = []
    for row in order.tolist():
        turned = order.roll(-row)
        others = turned[clips[turned] != clips[row]][: among - 1]
        if len(others):
            found.append((alike[row, others] >= alike[row, row]).float().mean())
    return torch.stack(found) if found else torch.zeros(0)


def lag_curve(
    audio: Float[Tensor, "batch tick feature"], lips: Sequences, shown: Sequence[int], reach: int
) -> Float[Tensor, " lag"]:
    """Mean squared distance of lips and the speech so many ticks later, from -reach to reach.

    Args:
        audio: Features of speech at all ticks of windows.
        lips: Of the ticks that are shown.
        shown: Which ticks these are.
        reach: Largest lag [ticks].
    """
    inner = [n for n, tick in enumerate(shown) if reach <= tick < audio.shape[1] - reach]
    at = torch.tensor([shown[n] for n in inner], device=audio.device)
    seen = functional.normalize(lips[:, inner].flatten(1).float())
    heard = (
        functional.normalize(audio[:, at + lag].flatten(1).float())
        for lag in range(-reach, reach + 1)
    )
    return torch.stack([(seen - each).square().sum(1).mean() for each in heard])
