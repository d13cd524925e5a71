"""SyncNet v2: 0.2 s of lips and of sound → embeddings that lie near each other when in sync.

Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016; public repository
joonson/syncnet_python, class S. Names are those of the published file.
"""

from jaxtyping import Float
from torch import Tensor, nn

from models.tensors import Embeddings

Mfcc = Float[Tensor, "batch 1 13 20"]  # windows of sound, raw cepstra of int16 sound
Faces = Float[Tensor, "batch 3 5 224 224"]  # windows of faces, BGR in 0..255
Embedded = Float[Tensor, "batch embedding"]  # not normalised

FRAMES = 5
"""Video frames in a window (25 a second)."""
STEPS = 20
"""MFCC steps in a window (100 a second)."""
SIZE = 224
"""Side of a face crop [px]."""


def _conv2d(
    inputs: int, outputs: int, kernel: int | tuple[int, int], padding: int = 0
) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, padding=padding),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _conv3d(
    inputs: int, outputs: int, kernel: tuple[int, int, int], *, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    return [
        nn.Conv3d(
            inputs, outputs, kernel, stride=(1, stride, stride), padding=(0, padding, padding)
        ),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    ]


def _head(embedding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, embedding)
    )


class SyncNet(nn.Module):
    """Two streams of convolutions; embeddings are not normalised.

    Args:
        embedding: Size of the embeddings.
    """

    def __init__(self, embedding: int = 1024) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64, 3, 1),
            nn.MaxPool2d(1),  # does nothing; the published names count it
            *_conv2d(64, 192, 3, 1),
            nn.MaxPool2d(3, stride=(1, 2)),
            *_conv2d(192, 384, 3, 1),
            *_conv2d(384, 256, 3, 1),
            *_conv2d(256, 256, 3, 1),
            nn.MaxPool2d(3, stride=2),
            *_conv2d(256, 512, (5, 4)),
        )
        self.netfcaud = _head(embedding)
        self.netfclip = _head(embedding)
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, (FRAMES, 7, 7), stride=2),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_conv3d(96, 256, (1, 5, 5), stride=2, padding=1),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            *_conv3d(256, 256, (1, 3, 3), padding=1),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2)),
            *_conv3d(256, 512, (1, 6, 6)),
        )

    def forward(self, mfcc: Mfcc, frames: Faces) -> tuple[Embedded, Embedded]:
        """Embeddings of the sound and of the lips; arguments as of the two methods below."""
        return self.embed_audio(mfcc), self.embed_lips(frames)

    def embed_audio(self, mfcc: Mfcc) -> Embedded:
        """Embeddings of windows of sound, raw cepstra of int16 sound."""
        if mfcc.shape[1:] != (1, 13, STEPS):
            raise ValueError(f"expected mfcc (n, 1, 13, {STEPS}), got {tuple(mfcc.shape)}")
        found: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return found

    def embed_lips(self, frames: Faces) -> Embedded:
        """Embeddings of windows of faces, BGR in 0..255."""
        found: Tensor = self.netfclip(self.lip_features(frames))
        return found

    def lip_features(self, frames: Faces) -> Embeddings:
        """What the embedding of the lips is made of, from windows of faces, BGR in 0..255."""
        if frames.shape[1:] != (3, FRAMES, SIZE, SIZE):
            raise ValueError(
                f"expected frames (n, 3, {FRAMES}, {SIZE}, {SIZE}), got {tuple(frames.shape)}"
            )
        found: Tensor = self.netcnnlip(frames).flatten(1)
        return found

    def embed_clip(
        self, frames: Float[Tensor, "time 3 224 224"]
    ) -> Float[Tensor, "time-4 embedding"]:
        """Embeddings of every window of a clip at once, BGR in 0..255.

        Only the first convolution looks along time, so the windows share their frames' memory.
        """
        if len(frames) < FRAMES or frames.shape[1:] != (3, SIZE, SIZE):
            raise ValueError(
                f"expected {FRAMES} or more frames (time, 3, {SIZE}, {SIZE}), "
                f"got {tuple(frames.shape)}"
            )
        features = self.netcnnlip(frames.transpose(0, 1).unsqueeze(0))
        found: Tensor = self.netfclip(features.flatten(2).squeeze(0).transpose(0, 1))
        return found
