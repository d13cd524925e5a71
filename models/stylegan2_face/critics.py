"""The four discriminators, and the classifiers that the embedding is learned with."""

from torch import Tensor, nn
from torch.nn import functional

from models.audiodvp.critic import PatchCritic
from models.stylegan2_face.encoders import Features
from models.tensors import FeatureMaps

_PER_FRAME = 128
_DROPOUT = 0.5
_HIDDEN = 512
_SLOPE = 0.2
_WIDER = 8
"""Maps that a critic sees deviations through, where one is DAVS's."""


class SpeechCritic(nn.Module):
    """D_id: which class of speech do the identity's maps betray?

    It leaks (ours): rectified, little of its only map may stay positive, as nothing is easier for
    maps that are to deceive it than to push it below 0.

    Args:
        channels: Of a map.
        side: Of a map [px].
        frames: Seen together: those of a word; 1 for units of speech.
        classes: To choose from.
        about: So many faces of a clip come in a row, and each is seen as it deviates from their
            mean, through more maps (ours); 1: as it is.
    """

    def __init__(
        self, channels: int, side: int, *, frames: int, classes: int, about: int = 1
    ) -> None:
        super().__init__()
        self.frames, self.about = frames, about
        wide = 1 if about == 1 else _WIDER
        self.conv = nn.Conv2d(channels, wide, 3, 2, 1)
        self.linear = nn.Linear(wide * (side // 2) ** 2, _PER_FRAME)
        self.last = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(frames * _PER_FRAME, classes))

    def forward(self, maps: FeatureMaps) -> Tensor:
        """Logits (batch, class).

        Args:
            maps: (batch * frames, channel, side, side), a sample's frames in a row.
        """
        if self.about > 1:
            clips = maps.reshape(-1, self.about, *maps.shape[1:])
            maps = (clips - clips.mean(1, keepdim=True)).flatten(0, 1)
        seen = functional.leaky_relu(self.conv(maps).flatten(1), _SLOPE)
        told = functional.leaky_relu(self.linear(seen), _SLOPE)
        logits: Tensor = self.last(told.reshape(-1, self.frames * _PER_FRAME))
        return logits


class SyncCritic(nn.Sequential):
    """D_sync: is a feature of speech? Gives logits (batch, 1).

    Args:
        features: Numbers of a feature.
    """

    def __init__(self, features: int) -> None:
        super().__init__(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 1))


class PictureCritic(nn.Module):
    """D_n or D_seq: how real does each patch look, at several sizes?

    Args:
        channels: 3 for each picture that is seen at once.
        width: Channels of the first layer.
        scales: Sizes, each half the one before.
    """

    def __init__(self, channels: int, width: int = 64, scales: int = 1) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchCritic(channels, width) for _ in range(scales))

    def forward(self, pictures: FeatureMaps) -> list[Tensor]:
        """Logits of the patches at each size, fine to coarse.

        Args:
            pictures: RGB -1..1.
        """
        found = []
        for number, scale in enumerate(self.scales):
            if number:
                pictures = functional.avg_pool2d(pictures, 3, 2, 1, count_include_pad=False)
            found.append(scale(pictures))
        return found


def in_channels(sequence: Tensor) -> FeatureMaps:
    """Sequences (batch, frame, 3, h, w) as the temporal critic sees them: frames in channels."""
    return sequence.flatten(1, 2)


class Critics(nn.Module):
    """Those of them that take part in a training.

    Args:
        members: By name: speech, sync, frame, sequence.
    """

    def __init__(self, **members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members)

    def forward(self, **shown: Tensor) -> dict[str, list[Tensor]]:
        """Logits of each critic that is there and is shown something, by scale.

        Args:
            shown: What each is to judge, by its name.
        """
        found: dict[str, list[Tensor]] = {}
        for name, critic in self.members.items():
            if name in shown:
                said = critic(shown[name])
                found[name] = said if isinstance(said, list) else [said]
        return found


class SpeechClassifier(nn.Module):
    """Which class of speech is heard or seen?

    Args:
        features: Numbers of a feature.
        frames: Seen together: those of a word; 1 for units of speech.
        classes: To choose from.
    """

    def __init__(self, features: int, *, frames: int, classes: int) -> None:
        super().__init__()
        self.inputs = frames * features
        self.layers = nn.Sequential(
            nn.Linear(self.inputs, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, classes)
        )

    def forward(self, features: Features) -> Tensor:
        """Logits (batch, class).

        Args:
            features: (batch * frames, feature), a sample's frames in a row.
        """
        logits: Tensor = self.layers(features.reshape(-1, self.inputs))
        return logits
