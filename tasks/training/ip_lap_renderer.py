"""The recipe `ip_lap.renderer`: batches, losses and figures of IP-LAP's renderer and its critic."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from models.faces.crop.stretched import cut_faces
from models.ip_lap.critic import PatchCritic
from models.ip_lap.perceptual import PerceptualLoss, rendering_losses
from models.ip_lap.renderer import Renderer
from models.ip_lap.settings import RendererSize
from models.ip_lap.sketch import SIZE, renderer_sketches
from models.ip_lap.training import RendererWeights, critic_losses, renderer_losses
from models.ip_lap.windows import MIDDLE
from stores.artifacts.store import Store
from stores.errors import SettingsError
from tasks.training.figures import Means, mean_psnr
from tasks.training.ip_lap import CROP_PX, IpLapSettings, inputs_of, load_mirror, shares
from tasks.training.perceptual import find_perceptual_network
from tasks.training.recipe import (
    Batch,
    BoardMedia,
    Export,
    Networks,
    Sample,
    rgb_pictures,
    shown_sheet,
)

Floats = NDArray[np.float32]


class RendererSettings(IpLapSettings):
    """What is trained; the defaults are the paper's."""

    size: RendererSize = RendererSize()
    losses: RendererWeights = RendererWeights.model_validate({})
    references: int = Field(3, ge=1, le=25, description="reference images of a sample")
    crop_px: int = Field(
        256, ge=96, le=1024, description="side of the prepared faces that are cut from [px]"
    )
    judged_stride: int = Field(
        25, ge=1, description="frames from a validation sample of a clip to the next"
    )
    warm_up: int = Field(
        25_000, ge=0, description="steps in which only the alignment learns (published: 25 epochs)"
    )
    critic_learning_rate: float = Field(1e-4, gt=0, description="of the critic's Adam")


class RendererRecipe:
    """Training of the renderer against a critic.

    Args:
        settings: What is trained.
        store: Holds the weights of VGG19, if the user has added them.
    """

    name = "ip_lap.renderer"
    phases = ("renderer", "critic")
    restarts = ()
    judged_by = "loss"
    lower_is_better = True

    def __init__(self, settings: RendererSettings, store: str) -> None:
        self._settings = settings
        self._mirror = load_mirror()
        self._perceptual = find_perceptual_network(Store(store))
        if settings.augmentation.roll_degrees:
            raise SettingsError(
                "augmentation.roll_degrees: pictures are not turned; leave it 0 for the renderer"
            )

    def networks(self) -> dict[str, nn.Module]:
        return {
            "renderer": Renderer(self._settings.size, with_loss=False),
            "critic": PatchCritic(),
        }

    def frozen(self) -> dict[str, nn.Module]:
        return {"perceptual": PerceptualLoss(self._perceptual.backbone)}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if phase == "critic":
            return torch.optim.Adam(
                parameters, self._settings.critic_learning_rate, betas=(0.5, 0.999)
            )
        return torch.optim.Adam(parameters, self._settings.learning_rate)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        middle = slice(MIDDLE, MIDDLE + 1)
        mel = sample["mel"][:, middle].to(device)
        inputs = inputs_of(sample, mel, self._settings, mirror=self._mirror, rng=rng)
        faces, reference_faces = (sample[n].to(device) for n in ("face", "reference_face"))
        cut = partial(
            cut_faces,
            mirrored=torch.from_numpy(inputs.mirrored).to(device),
            side=CROP_PX,
            size=SIZE,
        )
        return {
            "face": cut(faces, inputs.boxes[:, middle]),
            "sketches": sketches(inputs.windows, inputs.boxes, device),
            "references": cut(reference_faces, inputs.reference_boxes),
            "reference_sketches": sketches(inputs.references, inputs.reference_boxes, device),
            "mel": inputs.mel,
            "row": sample["row"].to(device),
        }

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        face = batch["face"].squeeze(1)
        critic = networks["critic"]
        if phase == "critic":
            generated = carried["generated"]
            # At once: nothing in the critic looks from one picture at another.
            layers = critic(torch.cat([generated, face.to(generated.dtype)]))
            return critic_losses(*_parted(layers, len(face)))
        generated, reference = render(networks, batch)
        carried["generated"] = generated.detach()
        warping, perceptual = compared(networks, generated, reference, face)
        with torch.no_grad():
            real = critic(face)
        return renderer_losses(
            warping,
            perceptual,
            critic(generated),
            real,
            weights=self._settings.losses,
            warming_up=step < self._settings.warm_up,
        )

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found, weights = Means(), self._settings.losses
        for batch in batches:
            face = batch["face"].squeeze(1)
            generated, reference = render(networks, batch)
            warping, perceptual = compared(networks, generated, reference, face)
            lower = [each.float()[:, :, each.shape[2] // 2 :] for each in (generated, face)]
            for name, value in {
                "loss": weights.warping * warping + weights.perceptual * perceptual,
                "warping": warping,
                "perceptual": perceptual,
                "lower_half_l1": (lower[0] - lower[1]).abs().mean(),
                "lower_half_psnr_db": mean_psnr(*lower),
            }.items():
                found.add(name, value, len(face))
        return found.found()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: tensor[:6] for name, tensor in batch.items()}
        generated, reference = render(networks, few)
        columns = [
            few["sketches"][:, MIDDLE],
            few["references"][:, 0],
            reference,
            generated,
            few["face"][:, 0],
        ]
        pictures = [rgb_pictures(images) for images in columns]
        sheet = shown_sheet(list(zip(*pictures, strict=True)))
        return BoardMedia({"renderer/sketch, reference, warped, rendered, true": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        return {
            "ip_lap_renderer": Export(
                "ip_lap_renderer",
                self._settings.size.model_dump(mode="json"),
                networks["renderer"].state_dict(),
            )
        }

    def facts(self) -> dict[str, Any]:
        return {"perceptual_backbone": self._perceptual.name}


def render(networks: Networks, batch: Batch) -> tuple[Tensor, Tensor]:
    """Generated faces and warped references (B, 3, SIZE, SIZE) of a batch."""
    names = ("face", "sketches", "references", "reference_sketches")
    mel = batch["mel"]
    generated, reference = networks["renderer"](*(batch[name] for name in names), mel)
    return generated, reference


def compared(
    networks: Networks, generated: Tensor, reference: Tensor, face: Tensor
) -> tuple[Tensor, Tensor]:
    """Perceptual losses; in float32, for Gram matrices are sums over a picture."""
    judge = networks["perceptual"]
    assert isinstance(judge, PerceptualLoss)
    with torch.autocast(face.device.type, enabled=False):
        return rendering_losses(judge, generated.float(), reference.float(), face.float())


def sketches(points: Floats, boxes: Floats, device: torch.device) -> Tensor:
    """Sketches (sample, n, 3, SIZE, SIZE) in 0..1 of landmarks (sample, n, 131, 2)."""
    sides = np.maximum(np.rint(boxes[..., 2:] - boxes[..., :2]), 1).astype(np.int64)
    drawn = renderer_sketches(
        shares(points, boxes).reshape(-1, 2, points.shape[2]), sides[..., ::-1].reshape(-1, 2)
    )
    # One channel goes to the device: the others are equal.
    grey = torch.from_numpy(drawn[:, :1]).to(device)
    return grey.reshape(*points.shape[:2], *grey.shape[1:]).expand(-1, -1, 3, -1, -1)


def _parted(
    layers: list[list[Tensor]], count: int
) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """The first so many samples of every layer, and the others."""
    first = [[layer[:count] for layer in scale] for scale in layers]
    return first, [[layer[count:] for layer in scale] for scale in layers]
