"""AudioDVP's audio-to-expression network: trained per subject, on a few minutes (section 4.2)."""

from jaxtyping import Float
from torch import Tensor, nn

from models.audiodvp.atnet import FEATURES
from models.deep3d.basis import N_EXPRESSION

WINDOW = 7
"""Frames that one prediction sees, half of them ahead."""


class AudioToExpression(nn.Module):
    """A window of audio features → expression coefficients of its middle frame.

    Convolutions run along the features, with the frames as channels. There is no nonlinearity.

    Args:
        window: Frames seen.
    """

    def __init__(self, window: int = WINDOW) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(window, 5, 3)
        self.conv2 = nn.Conv1d(5, 3, 3)
        self.conv3 = nn.Conv1d(3, 1, 3)
        self.fc = nn.Linear(FEATURES - 3 * 2, N_EXPRESSION)

    def forward(self, feature: Float[Tensor, "batch window 256"]) -> Float[Tensor, "batch 64 1"]:
        """Expression coefficients of AudioDVP's face model.

        Args:
            feature: Of AT-net.
        """
        hidden = self.conv3(self.conv2(self.conv1(feature)))
        out: Tensor = self.fc(hidden.flatten(1)).unsqueeze(-1)
        return out
