"""SyncNet over long clips, piece by piece: frames and sound, and the windows that begin in them."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from models.syncnet.lse import STEPS_PER_FRAME, mfcc_windows
from models.syncnet.network import FRAMES, STEPS, SyncNet

PIECE = 12
"""Windows of a piece: its memory is that of one forward pass, however long the clip."""
PIECE_FRAMES = PIECE + FRAMES - 1
PIECE_STEPS = STEPS_PER_FRAME * (PIECE - 1) + STEPS


class PieceEmbedder(nn.Module):
    """The network on all windows of a piece: embeddings of the lips, then of the sound.

    Args:
        network: With its weights.
    """

    def __init__(self, network: SyncNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frames: UInt8[Tensor, "piece 16 224 224 3"], mfcc: Float[Tensor, "piece 64 13"]
    ) -> Float[Tensor, "piece 12 embeddings"]:
        """Embeddings of PIECE windows: of the lips, then of the sound.

        Args:
            frames: BGR.
            mfcc: Raw cepstra of int16 sound.
        """
        dtype = next(self.network.parameters()).dtype
        pictures = frames.permute(0, 1, 4, 2, 3).to(dtype)
        lips = torch.stack([self.network.embed_clip(piece) for piece in pictures])
        windows = torch.cat([mfcc_windows(piece, PIECE) for piece in mfcc])
        sound = self.network.embed_audio(windows).reshape(len(mfcc), PIECE, -1)
        return torch.cat([lips, sound], dim=2)
