"""SyncNet over long clips: pieces of frames and sound, each with the windows that begin in it."""

import torch
from torch import Tensor, nn

from models.syncnet.lse import STEPS_PER_FRAME, mfcc_windows
from models.syncnet.network import FRAMES, STEPS, SyncNet

PIECE = 12
"""Windows of a piece: its memory is that of one forward pass, however long the clip."""
PIECE_FRAMES = PIECE + FRAMES - 1
PIECE_STEPS = STEPS_PER_FRAME * (PIECE - 1) + STEPS


class PieceEmbedder(nn.Module):
    """Embeddings of all windows of a piece: the first half lips, the second half sound.

    Args:
        network: With its weights.
    """

    def __init__(self, network: SyncNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, mfcc: Tensor) -> Tensor:
        """Embeddings (piece, PIECE, 2 embedding).

        Args:
            frames: (piece, PIECE_FRAMES, 224, 224, 3) uint8, BGR.
            mfcc: (piece, PIECE_STEPS, 13) float32.
        """
        dtype = next(self.network.parameters()).dtype
        pictures = frames.permute(0, 1, 4, 2, 3).to(dtype)
        lips = torch.stack([self.network.embed_clip(piece) for piece in pictures])
        windows = torch.cat([mfcc_windows(piece, PIECE) for piece in mfcc])
        sound = self.network.embed_audio(windows).reshape(len(mfcc), PIECE, -1)
        return torch.cat([lips, sound], dim=2)
