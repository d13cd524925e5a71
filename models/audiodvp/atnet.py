"""The audio encoder of ATVGnet (Chen et al., CVPR 2019), which AudioDVP takes over frozen."""

from jaxtyping import Float
from torch import Tensor, nn

COEFFICIENTS = 12
"""MFCCs 1..12: the log energy (0) is left out, so loudness does not matter."""
STEPS = 28
"""MFCC steps [10 ms] in a window: seven frames of video at 25 Hz."""
FEATURES = 256

_ENCODED = 512 * 12 * 2


class ATNet(nn.Module):
    """MFCC windows → one feature vector per frame.

    Only the audio encoder is used. The landmark encoder and the LSTM of the talking-face network
    stay because the published file holds their weights; they take no part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lmark_encoder = nn.Sequential(  # unused
            nn.Linear(6, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU()
        )
        self.audio_eocder = nn.Sequential(  # so spelled in the published file
            _convolution(1, 64),
            _convolution(64, 128),
            nn.MaxPool2d(3, stride=(1, 2)),
            _convolution(128, 256),
            _convolution(256, 256),
            _convolution(256, 512),
            nn.MaxPool2d(3, stride=(2, 2)),
        )
        self.audio_eocder_fc = nn.Sequential(
            nn.Linear(_ENCODED, 2048), nn.ReLU(), nn.Linear(2048, FEATURES), nn.ReLU()
        )
        self.lstm = nn.LSTM(256 * 3, 256, 3, batch_first=True)  # unused
        self.lstm_fc = nn.Sequential(nn.Linear(256, 6))  # unused

    def forward(self, mfcc: Float[Tensor, "batch frame 28 12"]) -> Float[Tensor, "batch frame 256"]:
        """The features of each frame, 0 or more.

        Args:
            mfcc: Coefficients 1..12 around each frame, every 10 ms, of 16 kHz audio in -1..1.
        """
        if mfcc.ndim != 4 or mfcc.shape[2:] != (STEPS, COEFFICIENTS):
            raise ValueError(
                f"AT-net reads (batch, frame, {STEPS}, {COEFFICIENTS}), not {tuple(mfcc.shape)}"
            )
        batch, frames = mfcc.shape[:2]
        encoded = self.audio_eocder(mfcc.reshape(batch * frames, 1, STEPS, COEFFICIENTS))
        features: Tensor = self.audio_eocder_fc(encoded.flatten(1))
        return features.reshape(batch, frames, FEATURES)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
