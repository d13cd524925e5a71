"""Wav2Lip's generator on images of 8 bits, with the steps of inference around it."""

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.wav2lip.steps import as_bytes, network_faces

Faces = UInt8[Tensor, "batch 96 96 3"]  # BGR


class Speaker(nn.Module):
    """The generator from and to images of 8 bits, so that little travels to the device and back.

    Args:
        generator: `models.wav2lip.generator.Generator`.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, mel: Float[Tensor, "batch 80 16"], faces: Faces) -> Faces:
        """Faces that say what the mel holds, BGR.

        Args:
            mel: -4..4.
            faces: BGR.
        """
        return as_bytes(self.generator(mel[:, None], network_faces(faces)))
