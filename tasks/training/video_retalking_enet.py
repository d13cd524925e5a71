"""The recipe `video_retalking.enet`: VideoReTalking's E-Net, which makes L-Net's faces sharp."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.audiodvp.critic import PatchCritic, adversarial_loss
from models.ip_lap.perceptual import PerceptualLoss
from models.video_retalking.enet import LOW_SIDE, ENet, Enlarger
from models.video_retalking.lnet import LNet
from models.video_retalking.settings import ENetSize, Enhancer, LNetSize
from models.video_retalking.training import ENetWeights, degraded, enet_loss
from models.wav2lip.training import WINDOW
from stores.artifacts.store import Store
from stores.errors import MissingWeights, SettingsError
from tasks.training.figures import Means, mean_psnr
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
from tasks.training.speaking import (
    SpeakingSettings,
    begin_with,
    check_augmentation,
    face_windows,
)
from tasks.training.sync_judge import FIGURE, SyncJudge
from tasks.weights.networks import find_weights, load_network, network_of

_NETWORK, _LNET = "vrt_enet", "vrt_lnet"
_IDENTITY = "arcface_r50_glint360k"
_IDENTITY_SIDE = 112
_JUDGED_QUALITY = 75.0
_SHOWN = 4


class ENetSettings(SpeakingSettings):
    """What is trained; the defaults are the paper's. An expert judges if `losses.sync` counts."""

    crop_px: int = Field(
        512, ge=96, le=1024, description="side of the prepared faces that are cut from [px]"
    )
    size: ENetSize = ENetSize.model_validate({})
    losses: ENetWeights = ENetWeights.model_validate({})
    lnet: str = Field(
        "vrt_lnet", description="L-Net, which stays as it is: a name, or a file of `dubflow train`"
    )
    restore_targets: Enhancer = Field(
        "none",
        description="network that makes the faces sharp which E-Net learns from, once for all: "
        "gpen, as published, gfpgan, or none, for faces of 256 px and more",
    )
    quality: tuple[float, float] = Field(
        (60.0, 95.0), description="of the JPEG files that faces are made worse by: least and most"
    )
    learning_rate: float = Field(1e-5, gt=0, description="of Adam")
    critic_learning_rate: float = Field(1e-5, gt=0, description="of the critic's Adam")


class ENetRecipe:
    """Training of E-Net before a frozen L-Net, against a critic.

    Args:
        settings: What is trained. `size.lnet` follows from the L-Net that is given.
        store: Holds the weights of L-Net and of the expert, and those of VGG19 and ArcFace if the
            user has them.

    Raises:
        SettingsError: `lnet` or `expert` is another network.
        MissingWeights: there is no such file, or nothing to compare features with.
    """

    name = "video_retalking.enet"
    judged_by = "loss"
    lower_is_better = True
    gate = FIGURE
    restarts = ()

    def __init__(self, settings: ENetSettings, store: str) -> None:
        check_augmentation(settings)
        self._settings, self._store = settings, Store(store)
        weights = find_weights(settings.lnet, store=self._store)
        if network_of(weights) != _LNET:
            raise SettingsError(f"lnet: {settings.lnet} holds {network_of(weights)}, not {_LNET}")
        lnet = load_network(weights)
        assert isinstance(lnet, LNet)
        self._lnet = lnet
        self._lnet_size = LNetSize.model_validate(weights.manifest.parameters.get("trained") or {})
        self._perceptual = find_perceptual_network(self._store)
        expert = settings.expert if settings.losses.sync else "none"
        self._judge = SyncJudge(expert, settings.gate, self._store)
        self._identity: nn.Module | None = None
        if settings.losses.identity:
            with suppress(MissingWeights):  # the card says so
                self._identity = load_network(find_weights(_IDENTITY, store=self._store))

    @property
    def phases(self) -> tuple[str, ...]:
        return ("enet", "critic") if self._settings.losses.adversarial else ("enet",)

    def networks(self) -> dict[str, nn.Module]:
        settings, enlarger = self._settings, Enlarger(self._settings.size)
        if settings.start is not None:
            whole = ENet(LNet(self._lnet_size), size=settings.size)
            given = begin_with(whole, settings.start, _NETWORK, self._store).state_dict()
            enlarger.load_state_dict({name: given[name] for name in enlarger.state_dict()})
        made: dict[str, nn.Module] = {"enet": enlarger}
        if "critic" in self.phases:
            made["critic"] = PatchCritic(3)
        return made

    def frozen(self) -> dict[str, nn.Module]:
        found = {"lnet": self._lnet, "perceptual": PerceptualLoss(self._perceptual.backbone)}
        found |= self._judge.frozen()
        return found if self._identity is None else found | {"identity": self._identity}

    def optimizer(self, phase: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        settings = self._settings
        rate = settings.critic_learning_rate if phase == "critic" else settings.learning_rate
        return torch.optim.Adam(parameters, rate)

    def schedule(self, step: int) -> float:
        return self._settings.schedule.factor(step)

    def validated(self, value: float) -> None:
        self._judge.validated(value)

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        size = self._settings.size.side
        found = face_windows(sample, self._settings, device, rng, window=False, size=size)
        count = found["face"].shape[:2].numel()
        quality = np.full(count, _JUDGED_QUALITY)
        if rng is not None:
            quality = rng.uniform(*self._settings.quality, count)
        return {
            "face": found["face"].flatten(0, 1),
            "reference": found["reference"].expand_as(found["face"]).flatten(0, 1),
            "mel": found["mel"].flatten(0, 1),
            "quality": torch.from_numpy(quality.astype(np.float32)).to(device),
            "row": found["row"],
        }

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        face = batch["face"]
        if phase == "critic":
            critic = networks["critic"]
            parts = {
                "critic_generated": adversarial_loss(critic(_signed(carried["made"])), real=False),
                "critic_real": adversarial_loss(critic(_signed(face)), real=True),
            }
            return (parts["critic_generated"] + parts["critic_real"]) / 2, parts
        made = networks["enet"](small_faces(networks["lnet"], batch), batch["reference"]).float()
        carried["made"] = made.detach()
        parts = self._parts(networks, batch, made)
        if "critic" in self.phases:
            parts["adversarial"] = adversarial_loss(networks["critic"](_signed(made)), real=True)
        weights = self._settings.losses
        return enet_loss(parts, weights=weights, gate_open=self._judge.open), parts

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found, weights = Means(), self._settings.losses
        for batch in batches:
            face, count = batch["face"], len(batch["face"])
            small = small_faces(networks["lnet"], batch)
            noise = [small.new_zeros(())] * len(self._enlarger(networks).noise_sides)
            made = networks["enet"](small, batch["reference"], noise=noise).float()
            plain = functional.interpolate(
                small, size=face.shape[-2:], mode="bicubic", align_corners=False
            )
            for name, pictures in (("", made), ("bicubic_", plain)):
                pictures = pictures.clamp(0, 1)
                parts = self._parts(networks, batch, pictures)
                parts["loss"] = enet_loss(parts, weights=weights, gate_open=self._judge.there)
                parts["psnr_db"] = mean_psnr(pictures, face)
                for part, value in parts.items():
                    found.add(f"{name}{part}", value, count)
            if self._judge.there:
                self._judge.judge_truth(found, networks, *_heard_and_seen(batch, face))
        figures = found.found()
        return figures | self._judge.gate(figures)

    @staticmethod
    def _enlarger(networks: Networks) -> Enlarger:
        network = networks["enet"]
        found = getattr(network, "module", network)
        assert isinstance(found, Enlarger)
        return found

    def _parts(self, networks: Networks, batch: Batch, made: Tensor) -> dict[str, Tensor]:
        face, judge = batch["face"], networks["perceptual"]
        assert isinstance(judge, PerceptualLoss)
        parts = {"l1": (made - face).abs().mean()}
        with torch.autocast(face.device.type, enabled=False):
            with torch.no_grad():
                wanted = judge.features(face)
            parts["perceptual"] = judge(judge.features(made), wanted)
            if self._identity is not None:
                persons = [_embedding(networks["identity"], each) for each in (made, face)]
                parts["identity"] = (persons[0] - persons[1].detach()).square().sum(1).mean()
        if self._judge.there:
            parts["sync"] = self._judge.loss(networks, *_heard_and_seen(batch, made))
        return parts

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: tensor[:_SHOWN] for name, tensor in batch.items()}
        small = small_faces(networks["lnet"], few)
        plain = functional.interpolate(small, size=few["face"].shape[-2:], mode="nearest")
        made = networks["enet"](small, few["reference"])
        columns = [few["reference"], plain, made, few["face"]]
        sheet = shown_sheet(list(zip(*map(rgb_pictures, columns), strict=True)))
        return BoardMedia({"enet/reference, L-Net's, made, true": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_copy(update={"lnet": self._lnet_size})
        inside = {f"low_res.{name}": value for name, value in self._lnet.state_dict().items()}
        state = inside | dict(networks["enet"].state_dict())
        return {"video_retalking_enet": Export(_NETWORK, size.model_dump(), state)}

    def facts(self) -> dict[str, Any]:
        return {
            "perceptual_backbone": self._perceptual.name,
            "lnet": self._settings.lnet,
            "expert": self._judge.name,
            "identity": "none: no weights of ArcFace" if self._identity is None else _IDENTITY,
        }


def small_faces(lnet: nn.Module, batch: Batch) -> Tensor:
    """L-Net's faces (sample, 3, 96, 96) of masked ones and of themselves, both in a bad state."""
    with torch.no_grad():
        low = degraded(batch["face"], batch["quality"], side=LOW_SIDE)
        upper = torch.arange(LOW_SIDE, device=low.device)[:, None] < LOW_SIDE // 2
        made: Tensor = lnet(batch["mel"], torch.cat((low * upper, low), 1))
    return made.float()


def _heard_and_seen(batch: Batch, faces: Tensor) -> tuple[Tensor, Tensor]:
    """What the expert takes: a mel and five small faces of each window."""
    small = functional.interpolate(faces, size=(LOW_SIDE,) * 2, mode="area")
    heard, seen = (each.reshape(-1, WINDOW, *each.shape[1:]) for each in (batch["mel"], small))
    return heard[:, 0], seen


def _signed(faces: Tensor) -> Tensor:
    return 2 * faces - 1


def _embedding(network: nn.Module, faces: Tensor) -> Tensor:
    """ArcFace's, of BGR faces 0..1."""
    small = functional.interpolate(
        faces.flip(1), size=(_IDENTITY_SIDE,) * 2, mode="bilinear", align_corners=False
    )
    return functional.normalize(network(_signed(small)))
