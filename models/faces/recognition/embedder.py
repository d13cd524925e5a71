"""Aligned faces as they are stored → what says who they are."""

from torch import Tensor, nn
from torch.nn.functional import normalize


class Embedder(nn.Module):
    """Unit embeddings, of which the product of two is their cosine similarity.

    Args:
        network: models.faces.recognition.arcface.IResNet.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, face: Tensor) -> Tensor:
        """(n, 512) of aligned faces (n, 112, 112, 3) uint8 RGB."""
        embedding: Tensor = self.network(face.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return normalize(embedding, dim=1)
