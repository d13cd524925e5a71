"""From aligned faces as they are stored to normalised embeddings."""

from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import normalize


class Embedder(nn.Module):
    """Unit embeddings: the scalar product of two is their cosine similarity.

    Args:
        network: models.faces.recognition.arcface.IResNet.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, face: UInt8[Tensor, "n 112 112 3"]) -> Float[Tensor, "n features"]:
        """Embeddings of length 1 of aligned RGB faces."""
        embedding: Tensor = self.network(face.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return normalize(embedding, dim=1)
