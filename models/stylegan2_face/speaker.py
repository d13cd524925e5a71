"""The talking face's networks as they are run: 8-bit pictures, RGB, in and out."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.stylegan2.noise import frame_noise
from models.stylegan2_face.decoder import StyleDecoder
from models.stylegan2_face.encoders import CepstraWindows, Features, Identity
from models.stylegan2_face.network import TalkingFace
from models.stylegan2_face.settings import Noise
from models.tensors import ImageBytes, Images


class _Caller(nn.Module):
    """Calls a part of a network.

    Args:
        network: `TalkingFace` with its weights.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, TalkingFace)
        self.network = network


class Looker(_Caller):
    """What is seen of faces."""

    def forward(self, faces: ImageBytes) -> Features:
        """Lip feature, and behind it the rest's."""
        return torch.cat(self.network.see(as_network(faces)), 1)


class Listener(_Caller):
    """What is heard in windows of cepstra."""

    def forward(self, cepstra: CepstraWindows) -> Features:
        """Lip features."""
        return self.network.hear(cepstra)


class Portrayer(nn.Module):
    """Draws faces.

    Args:
        network: `TalkingFace` with its weights, in eval mode.
        noise: Of its decoder, if it has any; fixed noise is the weights' own, if they hold some.
        still: (1, side, side, 3) who is shown; None: in each frame who is seen there.
    """

    def __init__(
        self, network: nn.Module, *, noise: Noise, still: ImageBytes | None = None
    ) -> None:
        super().__init__()
        assert isinstance(network, TalkingFace)
        self.network, self.noise = network, noise
        self.sides: list[int] = []
        if still is not None:
            with torch.no_grad():
                person = network.identity(as_network(still))
            self.sides = list(person.maps)
            self.register_buffer("feature", person.feature)
            for side, each in person.maps.items():
                self.register_buffer(f"map{side}", each)

    def forward(
        self,
        lips: Features,
        rest: Float[Tensor, "batch _face"],
        rows: Int64[Tensor, " batch"],
        faces: ImageBytes | None = None,
    ) -> ImageBytes:
        """The faces.

        Args:
            lips: Of speech or of a video.
            rest: Of a video.
            rows: Numbers of the frames, from which random noise follows.
            faces: Of the frames, where no still one is shown.
        """
        if faces is None:
            maps = {side: self.get_buffer(f"map{side}") for side in self.sides}
            person = Identity(self.get_buffer("feature"), maps).repeated(len(rows))
        else:
            person = self.network.identity(as_network(faces))
        features, decoder = torch.cat([lips, person.feature, rest], 1), self.network.decoder
        if isinstance(decoder, StyleDecoder) and (self.noise, decoder.noise) != ("fixed", "fixed"):
            noise = frame_noise(self.noise, rows, decoder.noise_sides())
            return as_pictures(decoder(features, person.maps, noise))
        return as_pictures(decoder(features, person.maps))


def as_network(faces: ImageBytes) -> Images:
    """8-bit pictures → -1..1, channels first."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1


def as_pictures(made: Images) -> ImageBytes:
    """-1..1, channels first → 8-bit pictures."""
    levels = ((made.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1)
