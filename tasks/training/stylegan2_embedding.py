"""The recipe `stylegan2.embedding`: lips that are seen and speech that is heard in one space."""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.stylegan2_face.critics import Critics, SpeechClassifier, SyncCritic
from models.stylegan2_face.encoders import Embedding, VideoEncoder
from models.stylegan2_face.losses import (
    CONTOUR_SPANS,
    EYE_SPANS,
    LIP_SPANS,
    critics_loss,
    landmark_loss,
    spans,
    taken_for_real,
)
from models.stylegan2_face.settings import EmbeddingSize, Settings
from models.stylegan2_face.standardised import Standardised
from stores.artifacts.store import Store
from stores.errors import MissingWeights
from tasks.training.figures import Means
from tasks.training.recipe import (
    Batch,
    BoardMedia,
    Export,
    Networks,
    shown_curves,
)
from tasks.training.stylegan2 import (
    SpeakingSquareSettings,
    SpokenFeatures,
    SquareRecipe,
    contrasts,
    rows_of,
    weighed,
)
from tasks.weights.networks import find_weights, load_network

NETWORK = "stylegan2_face_embedding"
_CLASSES = ("heard_class", "seen_class")
_FAN = "fan_2dfan4"
_REST_SPANS = EYE_SPANS + CONTOUR_SPANS


class EmbeddingWeights(Settings):
    """How much each loss counts; the paper gives no number, 5 is DAVS's."""

    classes: float = Field(1.0, ge=0, description="which class of speech is heard and is seen")
    unit_contrast: float = Field(1.0, ge=0, description="distances of features of unit length")
    raw_contrast: float = Field(1.0, ge=0, description="distances of features as they are")
    sync: float = Field(5.0, ge=0, description="lips are taken for speech by the critic")
    landmarks: float = Field(1.0, ge=0, description="maps show the points, as long as they learn")
    spans: float = Field(
        0.0,
        ge=0,
        description="how far lips are open is told by features of lips and of speech, eyes, brows "
        "and the head's turn by those of the rest of the face (ours); 0: not asked, and the rest "
        "is left to stylegan2.face",
    )


class EmbeddingSettings(SpeakingSquareSettings):
    """What is trained; the defaults are the paper's, or DAVS's where it is silent."""

    size: EmbeddingSize = EmbeddingSize.model_validate({})
    losses: EmbeddingWeights = EmbeddingWeights.model_validate({})
    supervised_steps: int = Field(
        5_000,
        ge=0,
        description="first steps in which the video encoder's maps learn the face's points; none "
        "where it begins with FAN's weights",
    )


class EmbeddingLearner(nn.Module):
    """The encoders, with the classifier that they are learned by.

    Args:
        settings: What is trained.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        super().__init__()
        self.embedding = Embedding(settings.size)
        frames = settings.frames if settings.speech_classes == "words" else 1
        features = settings.size.features
        # By spans alone this recipe tells what the rest of the face is for.
        self.embedding.video.rest.requires_grad_(settings.losses.spans > 0)
        self.lip_reader: nn.Module | None = None
        if settings.losses.spans:
            self.lip_reader = nn.Linear(features, len(LIP_SPANS))
            self.rest_reader = nn.Linear(settings.size.rest_features, len(_REST_SPANS))
            self.standard = Standardised(len(LIP_SPANS + _REST_SPANS))
        self.classifier = SpeechClassifier(features, frames=frames, classes=settings.classes)

    def forward(self, faces: Tensor, cepstra: Tensor, points: Tensor) -> dict[str, Tensor]:
        """Features (sample, frame, feature), logits of classes, heatmaps, and spans.

        Spans, as they are told and as they are, are in standard deviations of each: else those of
        lids, which are small, would hardly count beside a turning head's.

        Args:
            faces: (sample, frame, 3, side, side) RGB -1..1.
            cepstra: (sample, frame, 20, 12).
            points: (sample, frame, 68, 2) iBUG's [shares of the side].
        """
        shape = faces.shape[:2]
        lips, rest, maps = self.embedding.video(faces.flatten(0, 1))
        heard = self.embedding.audio(cepstra.flatten(0, 1))
        found = {
            "lips": rows_of(lips, shape),
            "audio": rows_of(heard, shape),
            "seen_class": self.classifier(lips),
            "heard_class": self.classifier(heard),
            "maps": maps,
        }
        if self.lip_reader is not None:
            found["seen_lips"], found["heard_lips"] = map(self.lip_reader, (lips, heard))
            found["seen_rest"] = self.rest_reader(rest)
            true = self.standard(spans(points.flatten(0, 1), LIP_SPANS + _REST_SPANS))
            found["lip_spans"], found["rest_spans"] = true.split(
                [len(LIP_SPANS), len(_REST_SPANS)], 1
            )
        return found


class EmbeddingRecipe(SquareRecipe):
    """Training of the encoders of speech and of video.

    Args:
        settings: What is trained.
        store: Holds the weights of FAN, if the user has added them.
    """

    name = "stylegan2.embedding"
    judged_by = "nearer_others"
    lower_is_better = True

    def __init__(self, settings: EmbeddingSettings, store: str) -> None:
        super().__init__(settings)
        self._settings, self._shown = settings, settings.window.shown
        self.phases = ("critic", "embedding") if settings.sync else ("embedding",)
        self._fan = _find_fan(settings.size, Store(store))

    def networks(self) -> dict[str, nn.Module]:
        learner = EmbeddingLearner(self._settings)
        if self._fan is not None:
            begin_with_fan(learner.embedding.video, self._fan)
        made: dict[str, nn.Module] = {"embedding": learner}
        if self._settings.sync:
            made["critic"] = Critics(sync=SyncCritic(self._settings.size.features))
        return made

    def frozen(self) -> dict[str, nn.Module]:
        return {}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if phase == "critic":
            with torch.no_grad():
                made = self._made(networks, batch)
            said = [networks["critic"](sync=made[n].flatten(0, 1)) for n in ("audio", "lips")]
            return critics_loss(*(each["sync"] for each in said)), {}
        made, own = self._made(networks, batch), self._settings
        labels = self._labels(batch)
        parts = contrasts(made["audio"], made["lips"], own.contrast)
        said = [functional.cross_entropy(made[name].float(), labels) for name in _CLASSES]
        parts["classes"] = torch.stack(said).sum()
        if own.sync:
            # Speech is not moved by it: lips alone are to be taken for speech.
            judged = networks["critic"](sync=made["lips"].flatten(0, 1))
            parts["sync"] = taken_for_real(judged["sync"])
        if self._fan is None and step < own.supervised_steps:
            points = batch["points"].flatten(0, 1)
            parts["landmarks"] = landmark_loss(made["maps"], points, side=own.size.side)
        if own.losses.spans:
            parts["spans"] = torch.stack(list(self._spans(made).values())).sum()
        return weighed(parts, own.losses.model_dump()), parts

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        means, spoken = Means(), SpokenFeatures(self._shown)
        embedding = networks["embedding"].get_submodule("embedding")
        assert isinstance(embedding, Embedding)
        for batch in batches:
            made, labels = self._made(networks, batch), self._labels(batch)
            for name in _CLASSES:
                right = (made[name].argmax(1) == labels).float()
                means.add(name, right.mean(), len(right))
            for name, off in self._spans(made).items():
                means.add(name, off, len(made["maps"]))
            spoken.add(embedding, made["lips"], batch)
        return means.found() | spoken.figures()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        made = self._made(networks, batch)
        off = (made["audio"] - made["lips"]).flatten(0, 1).norm(dim=1)
        other = (made["audio"] - made["lips"].roll(1, 0)).flatten(0, 1).norm(dim=1)
        curves = shown_curves(off.float().cpu().numpy(), other.float().cpu().numpy())
        return BoardMedia({"embedding/distance of own lips (red), of others'": curves})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        state = networks["embedding"].get_submodule("embedding").state_dict()
        return {NETWORK: Export(NETWORK, size, state)}

    def facts(self) -> dict[str, Any]:
        return {"video_encoder": "supervised by the mesh" if self._fan is None else _FAN}

    def _made(self, networks: Networks, batch: Batch) -> dict[str, Tensor]:
        made: dict[str, Tensor] = networks["embedding"](
            batch["face"],
            batch["cepstra"][:, self._shown],
            batch["points"] / self._settings.size.side,
        )
        return made

    def _spans(self, made: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean error of the spans that were told, by who told them; none if none were."""
        true = {"seen_lips": "lip_spans", "heard_lips": "lip_spans", "seen_rest": "rest_spans"}
        return {
            name: functional.l1_loss(made[name].float(), made[wanted])
            for name, wanted in true.items()
            if name in made
        }

    def _labels(self, batch: Batch) -> Tensor:
        words = self._settings.speech_classes == "words"
        return batch["word"] if words else batch["unit"][:, self._shown].flatten()


def _find_fan(size: EmbeddingSize, store: Store) -> nn.Module | None:
    """FAN, where its weights are and fit."""
    if size.fan_width != 256:
        return None
    try:
        return load_network(find_weights(_FAN, store=store))
    except MissingWeights:
        return None


def begin_with_fan(video: VideoEncoder, fan: nn.Module) -> None:
    """Give the video encoder the weights of FAN's stem and first hourglass."""
    given, own = fan.state_dict(), video.state_dict()
    video.load_state_dict({key: given.get(key, value) for key, value in own.items()})
