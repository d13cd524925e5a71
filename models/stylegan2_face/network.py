"""The whole network: a person's picture, lips of speech or of a video, and the rest of the face."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.stylegan2_face.decoder import decoder
from models.stylegan2_face.encoders import (
    CepstraWindows,
    Embedding,
    Features,
    Identity,
    IdentityEncoder,
)
from models.stylegan2_face.settings import FaceSize
from models.tensors import Images


class TalkingFace(nn.Module):
    """The talking face.

    Args:
        size: Layout.

    Attributes:
        embedding: Encoders of speech and of video.
        person: Encoder of the identity.
        decoder: Makes pictures.
    """

    def __init__(self, size: FaceSize | None = None) -> None:
        super().__init__()
        self.size = size or FaceSize()
        self.embedding = Embedding(self.size)
        self.person = IdentityEncoder(self.size)
        self.decoder = decoder(self.size)

    def identity(self, pictures: Images) -> Identity:
        """Who is seen; once for each picture, `Identity.repeated` for many frames.

        Args:
            pictures: RGB -1..1, squares of `alignment`.
        """
        return self.person.identity(pictures)

    def hear(self, cepstra: CepstraWindows) -> Features:
        """Lip features of speech.

        Args:
            cepstra: Of `speech.windows`, as they are.
        """
        feature: Tensor = self.embedding.audio(cepstra)
        return feature

    def see(self, frames: Images) -> tuple[Features, Float[Tensor, "batch _face"]]:
        """Lip features of a video, and those of the rest of its face.

        Args:
            frames: RGB -1..1, squares of `alignment`.
        """
        lips, rest, _ = self.embedding.video(frames)
        return lips, rest

    def forward(
        self, identity: Identity, lips: Features, rest: Float[Tensor, "batch _face"]
    ) -> Images:
        """Pictures, RGB -1..1, not clipped.

        Args:
            identity: Of `identity`.
            lips: Of `hear` or `see`.
            rest: Of `see`.
        """
        features = torch.cat([lips, identity.feature, rest], 1)
        made: Tensor = self.decoder(features, identity.maps)
        return made
