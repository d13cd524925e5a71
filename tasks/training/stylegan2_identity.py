"""The recipe `stylegan2.identity`: whose face is it? The encoder of what stays in a picture."""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.stylegan2_face.encoders import IdentityEncoder
from models.stylegan2_face.settings import IdentitySize
from tasks.training.meta_talk_renderer import levels
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, shown_sheet
from tasks.training.stylegan2 import SquareRecipe, SquareRecipeSettings, retrieval_figures

NETWORK = "stylegan2_face_identity"
_DROPOUT = 0.5


class IdentitySettings(SquareRecipeSettings):
    """What is trained; the defaults are DAVS's."""

    size: IdentitySize = IdentitySize.model_validate({})
    persons: int = Field(
        40_145, ge=2, description="that can be told apart; not fewer than the index trains on"
    )


class IdentityLearner(nn.Module):
    """The encoder, with the classifier that it is learned by.

    Args:
        settings: What is trained.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        super().__init__()
        self.person = IdentityEncoder(settings.size)
        self.classifier = nn.Sequential(
            nn.Dropout(_DROPOUT), nn.Linear(8 * settings.size.identity_width, settings.persons)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (picture, person)."""
        logits: Tensor = self.classifier(self.person(pictures)[0])
        return logits


class IdentityRecipe(SquareRecipe):
    """Training of the identity encoder.

    Args:
        settings: What is trained.
    """

    name = "stylegan2.identity"
    phases = ("identity",)
    judged_by = "nearer_others"
    lower_is_better = True

    def __init__(self, settings: IdentitySettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def networks(self) -> dict[str, nn.Module]:
        return {"identity": IdentityLearner(self._settings)}

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        faces = torch.cat([batch["face"], batch["reference_face"]]).flatten(0, 1)
        said = networks["identity"](faces)
        persons = batch["person"].repeat(2)
        told = (said.argmax(1) == persons).float().mean()
        return functional.cross_entropy(said.float(), persons), {"told_apart": told}

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        encoder = networks["identity"].get_submodule("person")
        kept: list[list[Tensor]] = [[], [], []]
        for batch in batches:
            pair = (encoder(batch[n].flatten(0, 1))[0] for n in ("face", "reference_face"))
            for values, value in zip(kept, (*pair, batch["person"]), strict=True):
                values.append(value.cpu())
        first, second, persons = (torch.cat(values) for values in kept)
        return retrieval_figures(first[:, None], second[:, None], persons)

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        columns = (levels(batch[n][:6, 0]).cpu().numpy() for n in ("face", "reference_face"))
        sheet = shown_sheet(list(zip(*columns, strict=True)))
        return BoardMedia({"identity/two of a person": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        state = networks["identity"].get_submodule("person").state_dict()
        return {NETWORK: Export(NETWORK, size, state)}

    def facts(self) -> dict[str, Any]:
        return {}
