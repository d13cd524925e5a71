"""The recipe `wav2lip.expert`: batches, losses and figures of Wav2Lip's sync expert."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.wav2lip.expert import SyncExpert, sync_loss
from models.wav2lip.settings import Wav2LipSize
from models.wav2lip.training import lower_halves, pair_cosines
from stores.artifacts.store import Store
from tasks.training.figures import Means
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, rgb_pictures
from tasks.training.speaking import (
    FaceWindowSettings,
    begin_with,
    check_augmentation,
    face_windows,
)
from tasks.training.sync_judge import cross_entropies

_NETWORK = "wav2lip_syncnet_color"


class ExpertSettings(FaceWindowSettings):
    """What is trained; the defaults are the paper's."""

    size: Wav2LipSize = Wav2LipSize.model_validate({})


class ExpertRecipe:
    """Training of the expert: are five faces and a sound of the same moment?

    Args:
        settings: What is trained.
        store: Holds the weights to begin with.
    """

    name = "wav2lip.expert"
    phases = ("expert",)
    judged_by = "loss"
    lower_is_better = True
    restarts = ()

    def __init__(self, settings: ExpertSettings, store: str) -> None:
        check_augmentation(settings)
        self._settings, self._store = settings, store

    def networks(self) -> dict[str, nn.Module]:
        network = SyncExpert(self._settings.size)
        return {"expert": begin_with(network, self._settings.start, _NETWORK, Store(self._store))}

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._settings.learning_rate)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        heard = {**sample, "mel": sample["mel"][:, :1]}
        batch = face_windows(heard, self._settings, device, rng, window=True)
        if rng is not None:
            in_sync = torch.from_numpy(rng.random(len(batch["face"])) < 0.5).to(device)
            own = in_sync[:, None, None, None, None]
            batch["face"] = torch.where(own, batch["face"], batch["reference"])
            batch["in_sync"] = in_sync
        return batch

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        sound, shown = networks["expert"](batch["mel"][:, 0], lower_halves(batch["face"]))
        return sync_loss(sound, shown, batch["in_sync"]), {}

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found = Means()
        for batch in batches:
            faces = (batch["face"], batch["reference"])
            true, false = pair_cosines(networks["expert"], batch["mel"][:, 0], *faces)
            for name, value in {
                "loss": cross_entropies(true, false),
                "cosine": true,
                "cosine_of_others": false,
                "told_apart": (true > false).float(),
            }.items():
                found.add(name, value.mean(), len(true))
        return found.found()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        faces = rgb_pictures(batch["face"][0])
        return BoardMedia({"expert/a window": np.concatenate(list(faces), axis=2)})

    def export(self, networks: Networks) -> dict[str, Export]:
        size, state = self._settings.size.model_dump(), networks["expert"].state_dict()
        return {"wav2lip_expert": Export(_NETWORK, size, state)}

    def facts(self) -> dict[str, Any]:
        return {}
