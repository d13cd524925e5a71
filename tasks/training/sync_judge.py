"""The frozen sync expert that judges faces, and the gate before its word."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from models.wav2lip.expert import SyncExpert
from models.wav2lip.training import SyncGate, output_sync, pair_cosines
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from tasks.training.figures import Means
from tasks.training.recipe import Networks
from tasks.weights.networks import find_weights, load_network, network_of

_NETWORK = "wav2lip_syncnet_color"
FIGURE = "sync_gate"
"""Name of the figure that tells the gate."""


class SyncJudge:
    """Says how little faces (sample, 5, 3, 96, 96) BGR 0..1 say what is heard (sample, 1, 80, 16).

    Args:
        name: Of weights, a file of `wav2lip.expert`, or none.
        gate: When its word begins to count; open: from the start.
        store: Holds the weights.

    Raises:
        MissingWeights: there are no such weights.
        SettingsError: they are of another network.
    """

    def __init__(self, name: str, gate: SyncGate | Literal["open"], store: Store) -> None:
        self.name, self._gate = name, gate
        self._network = None if name == "none" else _find(name, store)
        self.open = gate == "open" and self.there

    @property
    def there(self) -> bool:
        """Whether there is an expert at all."""
        return self._network is not None

    def frozen(self) -> dict[str, nn.Module]:
        """The expert, by its name among the networks."""
        return {} if self._network is None else {"expert": self._network}

    def validated(self, value: float) -> None:
        """Is told the gate's figure; what is open stays open."""
        self.open = self.open or value == 1.0

    def loss(self, networks: Networks, mel: Tensor, made: Tensor) -> Tensor:
        """What it says; without a gradient as long as that does not count. 0 without an expert."""
        if not self.there:
            return made.new_zeros(())
        with torch.set_grad_enabled(self.open and torch.is_grad_enabled()):
            return output_sync(networks["expert"], mel, made)

    def judge_truth(self, found: Means, networks: Networks, mel: Tensor, faces: Tensor) -> None:
        """Note its loss on true faces, half of them with other speech; of one sample there is no
        other."""
        if self.there and len(faces) > 1:
            others = faces.roll(1, 0)
            true, false = pair_cosines(networks["expert"], mel, faces, others)
            found.add("expert_on_truth", cross_entropies(true, false).mean(), len(faces))

    def gate(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The gate's figure, 0 or 1, of `sync` and `expert_on_truth`; none without an expert."""
        if not self.there:
            return {}
        passed = self._gate == "open" or (
            figures["sync"] < self._gate.outputs
            and figures.get("expert_on_truth", np.inf) < self._gate.truth
        )
        return {FIGURE: float(passed)}


def cross_entropies(true: Tensor, false: Tensor) -> Tensor:
    """(sample,) of the expert's cosines with what is true: half of each kind."""
    return -(true.log().clamp(min=-100) + (1 - false).log().clamp(min=-100)) / 2


def _find(name: str, store: Store) -> SyncExpert:
    try:
        weights = find_weights(name, store=store)
    except MissingWeights as error:
        raise MissingWeights(
            f"{error}; or set expert=none, or to a file of `dubflow train wav2lip.expert`"
        ) from None
    if network_of(weights) != _NETWORK:
        raise SettingsError(f"expert: {name} holds {network_of(weights)}, not {_NETWORK}")
    network = load_network(weights)
    assert isinstance(network, SyncExpert)
    return network
