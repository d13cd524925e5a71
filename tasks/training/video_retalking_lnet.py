"""The recipe `video_retalking.lnet`: VideoReTalking's L-Net before Wav2Lip's expert."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from models.video_retalking.lnet import LNet
from models.video_retalking.settings import LNetSize
from models.video_retalking.training import LNetWeights, lnet_loss
from tasks.training.recipe import Batch, Export, Networks, Sample
from tasks.training.speaking import (
    SpeakingRecipe,
    SpeakingSettings,
    begin_with,
    face_windows,
    speak,
)

_NETWORK = "vrt_lnet"


class LNetSettings(SpeakingSettings):
    """What is trained; the defaults are the paper's."""

    size: LNetSize = LNetSize.model_validate({})
    losses: LNetWeights = LNetWeights.model_validate({})


class LNetRecipe(SpeakingRecipe):
    """Training of L-Net.

    Args:
        settings: What is trained.
        store: Holds the weights of the expert and of VGG19, and those to begin with.
    """

    name = "video_retalking.lnet"
    speaker = "lnet"
    phases = ("lnet",)

    def __init__(self, settings: LNetSettings, store: str) -> None:
        weights = settings.losses
        super().__init__(settings, store, mouth=weights.mouth, perceptual=weights.perceptual > 0)
        self._settings = settings

    def networks(self) -> dict[str, nn.Module]:
        network = LNet(self._settings.size)
        return {"lnet": begin_with(network, self._settings.start, _NETWORK, self._store)}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        return face_windows(sample, self._settings, device, rng, window=False)

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        parts = self.parts(networks, batch, speak(networks["lnet"], batch))
        return self.combined(parts, gate_open=self._judge.open), parts

    def combined(self, parts: Mapping[str, Tensor], *, gate_open: bool) -> Tensor:
        return lnet_loss(parts, weights=self._settings.losses, gate_open=gate_open)

    def export(self, networks: Networks) -> dict[str, Export]:
        size, state = self._settings.size.model_dump(), networks["lnet"].state_dict()
        return {"video_retalking_lnet": Export(_NETWORK, size, state)}
