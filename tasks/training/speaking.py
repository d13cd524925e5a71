"""What recipes share that learn from windows of five faces and their sound."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.faces.crop.stretched import cut_faces
from models.ip_lap.perceptual import PerceptualLoss
from models.ip_lap.training import Augmentation, augment_mel, jittered_boxes
from models.wav2lip.generator import SIZE
from models.wav2lip.training import (
    SyncGate,
    face_boxes,
    masked_inputs,
    mirrored_boxes,
    mouth_boxes,
    pixels_in,
    weighted_l1,
)
from stores.artifacts.store import Store
from stores.errors import SettingsError
from tasks.training.figures import Means, mean_psnr
from tasks.training.perceptual import PerceptualNetwork, find_perceptual_network
from tasks.training.recipe import (
    Batch,
    BoardMedia,
    Networks,
    Sample,
    rgb_pictures,
    shown_sheet,
)
from tasks.training.schedule import Schedule
from tasks.training.sync_judge import FIGURE, SyncJudge
from tasks.weights.networks import find_weights, load_network, network_of

_SHOWN = 6


class FaceWindowSettings(BaseModel):
    """Settings of these recipes; the defaults are the papers'."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    augmentation: Augmentation = Augmentation.model_validate({})
    chin: float = Field(
        0.05, ge=0, le=0.5, description="room below the chin in a face's box [its height]"
    )
    crop_px: int = Field(
        192, ge=96, le=1024, description="side of the prepared faces that are cut from [px]"
    )
    stride: int = Field(5, ge=1, description="frames from a sample of a clip to the next")
    judged_stride: int = Field(
        25, ge=1, description="frames from a validation sample of a clip to the next"
    )
    learning_rate: float = Field(1e-4, gt=0, description="of Adam")
    schedule: Schedule = Schedule.model_validate({})
    start: str | None = Field(
        None,
        description="weights to begin with: a name, or a file of `dubflow train`; none: random",
    )


class SpeakingSettings(FaceWindowSettings):
    """Settings of the recipes whose faces an expert judges."""

    expert: str = Field(
        "wav2lip_lipsync_expert",
        description="the sync expert: a name of weights, a file of `wav2lip.expert`, or none",
    )
    gate: SyncGate | Literal["open"] = Field(
        SyncGate.model_validate({}),
        description="when its word begins to count; open: from the start",
    )


def face_windows(
    sample: Sample,
    settings: FaceWindowSettings,
    device: torch.device,
    rng: np.random.Generator | None,
    *,
    window: bool,
    size: int = SIZE,
) -> Batch:
    """Faces (sample, frame, 3, size, size) BGR 0..1, mouths (boxes in shares of them), and mel.

    All faces of a window are cut by one box, the mean of theirs, as dubbing smooths them.

    Args:
        sample: As the loader gives it.
        settings: Of the recipe.
        device: Where to.
        rng: Of augmentation; None: no augmentation.
        window: The references are a window, too.
        size: Of the faces [px].
    """
    change = settings.augmentation
    points, others = (sample[n].numpy() for n in ("landmarks", "reference_landmarks"))
    boxes = _steady(face_boxes(points, chin=settings.chin))
    reference_boxes = face_boxes(others, chin=settings.chin)
    reference_boxes = _steady(reference_boxes) if window else reference_boxes
    mouths, mel = mouth_boxes(points), sample["mel"].to(device)
    mirrored = np.zeros(len(points), bool)
    if rng is not None:
        mirrored = rng.random(len(points)) < change.mirror
        turn = mirrored[:, None, None]
        boxes, reference_boxes, mouths = (
            np.where(turn, mirrored_boxes(b), b) for b in (boxes, reference_boxes, mouths)
        )
        mel = augment_mel(mel, change, rng)
        boxes = jittered_boxes(boxes, change, rng, together=True)
        reference_boxes = jittered_boxes(reference_boxes, change, rng, together=window)

    def cut(name: str, boxes: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
        turned = torch.from_numpy(mirrored).to(device)
        faces = sample[name].to(device)
        return cut_faces(faces, boxes, mirrored=turned, side=1.0, size=size)

    corner, side = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    placed = (mouths - np.tile(corner, 2)) / np.tile(side, 2)
    return {
        "face": cut("face", boxes),
        "reference": cut("reference_face", reference_boxes),
        "mouth": torch.from_numpy(placed).to(device),
        "mel": mel,
        "row": sample["row"].to(device),
    }


def _steady(
    boxes: np.ndarray[Any, np.dtype[np.float32]],
) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(np.broadcast_to(boxes.mean(1, keepdims=True), boxes.shape))


def check_augmentation(settings: FaceWindowSettings) -> None:
    """Raises a SettingsError if faces shall be rolled."""
    if settings.augmentation.roll_degrees:
        raise SettingsError("augmentation.roll_degrees: pictures are not turned; leave it 0")


def begin_with(network: nn.Module, given: str | None, kind: str, store: Store) -> nn.Module:
    """The network, with the weights that a training shall begin with.

    Raises:
        SettingsError: they are of another network, or of another size.
    """
    if given is None:
        return network
    weights = find_weights(given, store=store)
    if network_of(weights) != kind:
        raise SettingsError(f"start: {given} holds {network_of(weights)}, not {kind}")
    try:
        network.load_state_dict(load_network(weights).state_dict())
    except RuntimeError:
        raise SettingsError(
            f"start: {given} holds a network of another size; set size as it is there"
        ) from None
    return network


class SpeakingRecipe(ABC):
    """Training of a network that makes faces speak, before a frozen expert.

    Args:
        settings: What is trained.
        store: Holds the weights of the expert and of VGG19.
        mouth: Times that the mouth's box counts where there is no expert.
        perceptual: Compare in features, too.
    """

    judged_by = "loss"
    lower_is_better = True
    gate = FIGURE
    restarts = ()

    def __init__(
        self, settings: SpeakingSettings, store: str, *, mouth: float, perceptual: bool
    ) -> None:
        check_augmentation(settings)
        self._common, self._store = settings, Store(store)
        self._judge = SyncJudge(settings.expert, settings.gate, self._store)
        self._mouth = 1.0 if self._judge.there else mouth
        self._perceptual: PerceptualNetwork | None = None
        if perceptual:
            self._perceptual = find_perceptual_network(self._store)

    def frozen(self) -> dict[str, nn.Module]:
        found = self._judge.frozen()
        if self._perceptual is not None:
            found["perceptual"] = PerceptualLoss(self._perceptual.backbone)
        return found

    def schedule(self, step: int) -> float:
        return self._common.schedule.factor(step)

    def validated(self, value: float) -> None:
        self._judge.validated(value)

    @property
    @abstractmethod
    def speaker(self) -> str:
        """The phase of the network that speaks."""

    @abstractmethod
    def combined(self, parts: Mapping[str, Tensor], *, gate_open: bool) -> Tensor:
        """The loss of its parts `l1`, `sync`, and `perceptual` or whatever else there is."""

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        found = Means()
        for batch in batches:
            face, count = batch["face"], len(batch["face"])
            made = speak(networks[self.speaker], batch)
            parts = self.parts(networks, batch, made)
            found.add("loss", self.combined(parts, gate_open=self._judge.there), count)
            for name, value in parts.items():
                if name != "sync" or self._judge.there:
                    found.add(name, value, count)
            inside = pixels_in(batch["mouth"])
            found.add("mouth_l1", weighted_l1(made, face, inside + 1e-9), count)
            lower = (each[:, :, :, SIZE // 2 :] for each in (made, face))
            found.add("lower_half_psnr_db", mean_psnr(*lower), count)
            self._judge.judge_truth(found, networks, batch["mel"][:, 0], face)
        figures = found.found()
        return figures | self._judge.gate(figures)

    def parts(self, networks: Networks, batch: Batch, made: Tensor) -> dict[str, Tensor]:
        """The losses of faces; sync without a gradient as long as it does not count."""
        face = batch["face"]
        weight = 1 + (self._mouth - 1) * pixels_in(batch["mouth"])
        parts = {
            "l1": weighted_l1(made, face, weight),
            "sync": self._judge.loss(networks, batch["mel"][:, 0], made),
        }
        if self._perceptual is not None:
            judge = networks["perceptual"]
            assert isinstance(judge, PerceptualLoss)
            with torch.autocast(face.device.type, enabled=False):
                with torch.no_grad():
                    wanted = judge.features(face.flatten(0, 1))
                features = judge.features(made.flatten(0, 1))
                weighed = None if self._mouth == 1 else weight.flatten(0, 1)
                parts["perceptual"] = judge(features, wanted, weight=weighed)
        return parts

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: tensor[:_SHOWN] for name, tensor in batch.items()}
        made = speak(networks[self.speaker], few)
        columns = [images[:, 0] for images in (few["reference"], made, few["face"])]
        sheet = shown_sheet(list(zip(*map(rgb_pictures, columns), strict=True)))
        return BoardMedia({f"{self.speaker}/reference, made, true": sheet})

    def facts(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self._perceptual is not None:
            told["perceptual_backbone"] = self._perceptual.name
        told["expert"] = (
            self._judge.name
            if self._judge.there
            else f"none: the mouth's box counts {self._mouth:g} times in its place"
        )
        return told


def speak(network: nn.Module, batch: Batch) -> Tensor:
    """Faces (sample, frame, 3, 96, 96) float32 that say what is heard, BGR 0..1."""
    inputs = masked_inputs(batch["face"], batch["reference"])
    made: Tensor = network(batch["mel"], inputs)
    return made.transpose(1, 2).float()
