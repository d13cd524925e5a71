"""Wav2Lip from stored faces to stored faces: what its inference does around the generator."""

from torch import Tensor, nn

from models.wav2lip.steps import as_bytes, network_faces


class Speaker(nn.Module):
    """The generator between bytes, so that little travels to the device and back.

    Args:
        generator: `models.wav2lip.generator.Generator`.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Faces that say what the mel holds.

        Args:
            mel: (batch, 80, 16) float32, -4..4.
            faces: (batch, 96, 96, 3) uint8 BGR.

        Returns:
            (batch, 96, 96, 3) uint8 BGR.
        """
        return as_bytes(self.generator(mel[:, None], network_faces(faces)))
