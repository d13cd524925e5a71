"""VideoReTalking's networks as they are run: 8-bit pictures in, 8-bit pictures out.

Pictures are BGR as in the crops; each network is given the colour order it was trained with.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from models.ganimation.generator import ACTION_UNITS
from models.stylegan2.noise import frame_noise
from models.tensors import ImageBytes, Images
from models.video_retalking.enet import SIDE, ENet
from models.video_retalking.settings import Noise, UpperFace
from models.wav2lip.steps import as_bytes

UNITS: dict[str, dict[int, float]] = {"angry": {2: 0.3}, "surprise": {3: 0.2}}
"""Of emotions, by place: action unit 4, brows lowered, and 5, upper lids raised."""

Rows = Int64[Tensor, " batch"]


def shares(pictures: ImageBytes) -> Images:
    """8-bit pictures → 0..1, channels first."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def rounded(pictures: Images) -> ImageBytes:
    """0..1, channels first → 8-bit pictures."""
    return as_bytes(pictures.float() + 0.5 / 255)


class Stabiliser(nn.Module):
    """D-Net on pictures and windows of coefficients.

    Args:
        network: `DNet`; one for smaller faces sees them so, and what it makes is enlarged.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self._side = network, int(network.side)  # type: ignore[arg-type]

    def forward(self, faces: ImageBytes, windows: Float[Tensor, "batch 73 26"]) -> ImageBytes:
        """The faces with the windows' expression."""
        side, own = faces.shape[1], self._side
        image = 2 * shares(faces).flip(1) - 1
        if side != own:
            image = functional.interpolate(image, size=(own, own), mode="area")
        made: Tensor = self.network(image, windows)["fake_image"].float()
        if side != own:
            made = _resized(made, side)
        return rounded((made.flip(1) + 1) / 2)


class Speaker(nn.Module):
    """E-Net with its L-Net; or L-Net alone, whose faces are enlarged.

    Args:
        network: `ENet` or `LNet`.
        noise: E-Net's: fixed: the same for all frames; random: each frame's own; none.
    """

    def __init__(self, network: nn.Module, *, noise: Noise) -> None:
        super().__init__()
        self.network, self.noise = network, noise

    def forward(
        self,
        mel: Float[Tensor, "batch 80 16"],
        faces: ImageBytes,
        references: ImageBytes,
        rows: Rows,
    ) -> ImageBytes:
        """The faces with lips that follow the speech, 384 x 384.

        Args:
            mel: -4..4.
            faces: Of the frames.
            references: The same with a frozen expression.
            rows: Numbers of the frames, from which random noise follows.
        """
        heard, masked, shown = mel[:, None], shares(faces), shares(references)
        masked[:, :, masked.shape[2] // 2 :] = 0
        if isinstance(self.network, ENet):
            both = torch.cat((masked, shown), 1)
            noise = frame_noise(self.noise, rows, self.network.noise_sides)
            return rounded(_resized(self.network(heard, both, shown, noise=noise)[0], SIDE))
        small = torch.cat((_resized(masked, 96), _resized(shown, 96)), 1)
        return rounded(_resized(self.network(heard, small), SIDE))


class Emotion(nn.Module):
    """GANimation on crops of any size, whose pixels stay sharp where the network keeps them.

    Args:
        network: Its generator, which is shown faces of its side, in its order of colours.
        face: The emotion; sad is a face at rest.
        strength: 0 as they are .. 1 as the network makes them.
    """

    def __init__(self, network: nn.Module, face: UpperFace, strength: float) -> None:
        super().__init__()
        self.network, self.strength = network, strength
        units = [UNITS.get(face, {}).get(unit, 0.0) for unit in range(ACTION_UNITS)]
        self.register_buffer("units", torch.tensor([units]), persistent=False)

    def forward(self, faces: ImageBytes) -> ImageBytes:
        """The changed faces."""
        units = self.get_buffer("units").expand(len(faces), -1)
        return acted(self.network, faces, units, strength=self.strength)


def acted(
    network: nn.Module,
    faces: ImageBytes,
    units: Float[Tensor, "batch 17"],
    *,
    strength: float = 1.0,
) -> ImageBytes:
    """Faces with action units.

    Args:
        network: As of `Emotion`.
        faces: Of any size.
        units: 0..1, in the order of GANimation.
        strength: As of `Emotion`.
    """
    image = 2 * shares(faces) - 1
    shown = image.flip(1) if network.colours == "rgb" else image
    layers = network(_resized(shown, int(network.side)), units)  # type: ignore[arg-type]
    color, attention = (_resized(each.float(), image.shape[-1]) for each in layers)
    color = color.flip(1) if network.colours == "rgb" else color
    changed = attention * image + (1 - attention) * color
    return rounded((image + strength * (changed - image) + 1) / 2)


def _resized(pictures: Tensor, side: int) -> Tensor:
    return functional.interpolate(pictures, size=(side, side), mode="bilinear", align_corners=False)
