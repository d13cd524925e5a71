"""The recipe `wav2lip.generator`: Wav2Lip's generator before the expert and a critic."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from models.wav2lip.critic import QualityCritic, critic_loss
from models.wav2lip.generator import Generator
from models.wav2lip.settings import Wav2LipSize
from models.wav2lip.training import Wav2LipWeights, wav2lip_loss
from tasks.training.recipe import Batch, Export, Networks, Sample
from tasks.training.speaking import (
    SpeakingRecipe,
    SpeakingSettings,
    begin_with,
    face_windows,
    speak,
)

_NETWORK = "wav2lip_generator"


class GeneratorSettings(SpeakingSettings):
    """What is trained; the defaults are the paper's."""

    size: Wav2LipSize = Wav2LipSize.model_validate({})
    losses: Wav2LipWeights = Wav2LipWeights.model_validate({})
    critic_learning_rate: float = Field(1e-4, gt=0, description="of the critic's Adam")


class GeneratorRecipe(SpeakingRecipe):
    """Training of the generator.

    Args:
        settings: What is trained.
        store: Holds the weights of the expert and those to begin with.
    """

    name = "wav2lip.generator"
    speaker = "generator"

    def __init__(self, settings: GeneratorSettings, store: str) -> None:
        super().__init__(settings, store, mouth=settings.losses.mouth, perceptual=False)
        self._settings = settings

    @property
    def phases(self) -> tuple[str, ...]:
        return ("generator", "critic") if self._settings.losses.adversarial else ("generator",)

    def networks(self) -> dict[str, nn.Module]:
        settings = self._settings
        network = begin_with(Generator(settings.size), settings.start, _NETWORK, self._store)
        made: dict[str, nn.Module] = {"generator": network}
        if "critic" in self.phases:
            made["critic"] = QualityCritic(settings.size)
        return made

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        settings = self._settings
        rate = settings.critic_learning_rate if phase == "critic" else settings.learning_rate
        return torch.optim.Adam(parameters, rate, betas=(0.5, 0.999))

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        return face_windows(sample, self._settings, device, rng, window=True)

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if phase == "critic":
            critic, made = networks["critic"], carried["made"]
            # At once: nothing in the critic looks from one face at another.
            probability = critic(torch.cat((made, batch["face"])).transpose(1, 2))
            per_time = probability.reshape(made.shape[1], -1, 1)
            fake, real = (half.reshape(-1, 1) for half in per_time.chunk(2, dim=1))
            parts = {
                "critic_generated": critic_loss(fake, real=False),
                "critic_real": critic_loss(real, real=True),
            }
            return parts["critic_generated"] + parts["critic_real"], parts
        made = speak(networks["generator"], batch)
        carried["made"] = made.detach()
        parts = self.parts(networks, batch, made)
        return self.combined(parts, gate_open=self._judge.open), parts

    def parts(self, networks: Networks, batch: Batch, made: Tensor) -> dict[str, Tensor]:
        parts = super().parts(networks, batch, made)
        if "critic" in self.phases:
            parts["adversarial"] = critic_loss(networks["critic"](made.transpose(1, 2)), real=True)
        return parts

    def combined(self, parts: Mapping[str, Tensor], *, gate_open: bool) -> Tensor:
        return wav2lip_loss(parts, weights=self._settings.losses, gate_open=gate_open)

    def export(self, networks: Networks) -> dict[str, Export]:
        size: dict[str, Any] = self._settings.size.model_dump()
        return {_NETWORK: Export(_NETWORK, size, networks["generator"].state_dict())}
