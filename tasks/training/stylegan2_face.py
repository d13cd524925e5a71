"""The recipe `stylegan2.face`: all of the talking face, from speech and from video at once."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.ip_lap.perceptual import Backbone, Vgg19
from models.stylegan2_face.alignment import EYE_BOX, MOUTH_BOX, box_in
from models.stylegan2_face.critics import (
    Critics,
    PictureCritic,
    SpeechCritic,
    SyncCritic,
    in_channels,
)
from models.stylegan2_face.encoders import Identity, map_channels
from models.stylegan2_face.losses import (
    VGG_WEIGHTS,
    critics_loss,
    davs_l1,
    feature_loss,
    taken_for_real,
    uniform_loss,
    where_moved,
)
from models.stylegan2_face.network import TalkingFace
from models.stylegan2_face.settings import EmbeddingSize, FaceSize, IdentitySize, Settings
from stores.artifacts.store import Store
from stores.errors import SettingsError
from tasks.training.face_squares import OPENINGS
from tasks.training.figures import Means, mean_psnr
from tasks.training.meta_talk_renderer import levels
from tasks.training.perceptual import (
    PerceptualNetwork,
    compared_colours,
    find_perceptual_network,
)
from tasks.training.recipe import Batch, BoardMedia, Export, Networks, shown_sheet
from tasks.training.stylegan2 import (
    SpeakingSquareSettings,
    SpokenFeatures,
    SquareRecipe,
    begun_with,
    contrasts,
    part_of,
    rows_of,
    weighed,
)
from tasks.training.stylegan2_embedding import NETWORK as EMBEDDING
from tasks.training.stylegan2_identity import NETWORK as IDENTITY

NETWORK = "stylegan2_face"
_DRIVES = ("audio", "video")
_SCALES = 3


class FaceWeights(Settings):
    """How much each loss counts: the paper gives no number, 1 and 10 are pix2pixHD's, 5 DAVS's."""

    gan: float = Field(
        1.0, ge=0, description="what the critics of pictures say; 0: there are none, in less time"
    )
    reconstruction: float = Field(10.0, ge=0, description="features of the true pictures (vgg)")
    l1: float = Field(1.0, ge=0, description="DAVS's L1 on grey levels (l1)")
    eyes: float = Field(
        0.0, ge=0, description="share of eyes and brows in that (ours); the mouth's is 8"
    )
    moved: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of that that goes by how far the truth differs from the identity's "
        "picture (ours): what stays is soon copied, what moves is not",
    )
    sync: float = Field(5.0, ge=0, description="lips are taken for speech by the critic")
    unit_contrast: float = Field(1.0, ge=0, description="distances of features of unit length")
    raw_contrast: float = Field(1.0, ge=0, description="distances of features as they are")
    disentangle: float = Field(1.0, ge=0, description="the identity's maps tell no speech")


class FaceRates(Settings):
    """By how much a part's learning rate is larger; the paper has one for all."""

    embedding: float = Field(
        1.0,
        ge=0,
        description="encoders of speech and video, which have learned before; 0: they stay as "
        "they are, which needs a file of stylegan2.embedding that learned by losses.spans",
    )
    person: float = Field(1.0, ge=0, description="encoder of the identity")
    decoder: float = Field(
        1.0, ge=0, description="StyleGAN2's layers are equalised, and learn slowly at others' rate"
    )


class FaceSettings(SpeakingSquareSettings):
    """What is trained; the defaults are the paper's, or DAVS's where it is silent."""

    size: FaceSize = FaceSize.model_validate({})
    losses: FaceWeights = FaceWeights.model_validate({})
    rates: FaceRates = FaceRates.model_validate({})
    embedding: str | None = Field(
        None, description="file of stylegan2.embedding to begin with; none: random"
    )
    identity: str | None = Field(
        None, description="file of stylegan2.identity to begin with; none: random"
    )
    drawn_frames: int = Field(
        6, ge=1, description="faces of a sample that are drawn, by speech and by video each"
    )
    reconstruction: Literal["vgg", "l1"] = Field(
        "vgg", description="how pictures are compared: features of VGG19, or DAVS's L1"
    )
    gan: Literal["both", "frame", "sequence"] = Field(
        "both", description="critics of single faces, of the sequence, or both"
    )
    disentangle: bool = Field(
        True, description="a critic looks for speech in the identity's maps, which learn to hide it"
    )
    hidden: Literal["speech", "opening"] = Field(
        "speech",
        description="what the maps are to hide: the class of speech; or how much wider the mouth "
        "is open than on the clip's average (ours), of which a face betrays more",
    )
    classified_frames: int = Field(
        20,
        ge=1,
        description="consecutive faces of a sample whose maps it sees: of a word together, of "
        "units one by one; of openings as many from all of the clip, each beside their mean",
    )
    critic_width: int = Field(
        64, ge=1, description="channels of the first layer of the critics of pictures"
    )

    @property
    def words_hidden(self) -> bool:
        """The critic sees the faces of a word together, not one by one."""
        return self.hidden == "speech" and self.speech_classes == "words"

    @property
    def drawn(self) -> slice:
        """The faces of a sample that are drawn: those in the middle."""
        first = (self.frames - self.drawn_frames) // 2
        return slice(first, first + self.drawn_frames)


class FaceRecipe(SquareRecipe):
    """Training of the talking face against its critics, which learn first in a step.

    Args:
        settings: What is trained.
        store: Holds the weights of VGG19, if the user has added them.

    Raises:
        SettingsError: more faces are to be drawn than a sample has; an embedding is to stay as it
            is and none is given.
    """

    name = "stylegan2.face"
    judged_by = "loss"
    lower_is_better = True

    def __init__(self, settings: FaceSettings, store: str) -> None:
        if settings.drawn_frames > settings.frames:
            raise SettingsError(
                f"drawn_frames {settings.drawn_frames} are more than the {settings.frames} frames "
                "of a sample; take as many at most"
            )
        if not settings.rates.embedding and settings.embedding is None:
            raise SettingsError(
                "rates.embedding=0 leaves the encoders as they begin; give them as "
                "embedding=FILE of stylegan2.embedding"
            )
        super().__init__(settings)
        self._settings, self._store, self._shown = settings, store, settings.window.shown
        self._pictures: tuple[str, ...] = ()
        if settings.losses.gan:
            self._pictures = ("frame", "sequence") if settings.gan == "both" else (settings.gan,)
        self.phases: tuple[str, ...] = ("face",)
        if self._pictures or settings.sync or settings.disentangle:
            self.phases = ("critics", "face")
        self._perceptual: PerceptualNetwork | None = None
        if settings.reconstruction == "vgg":
            self._perceptual = find_perceptual_network(Store(store))

    def networks(self) -> dict[str, nn.Module]:
        own, store = self._settings, Store(self._store)
        size, face = own.size, TalkingFace(own.size)
        for network, kind, name, given in (
            (face.embedding, EmbeddingSize, EMBEDDING, "embedding"),
            (face.person, IdentitySize, IDENTITY, "identity"),
        ):
            part, path = part_of(size, kind), getattr(own, given)
            begun_with(network, part, path, name, what=given, store=store)
        for name, share in own.rates.model_dump().items():
            self._rates |= dict.fromkeys(map(id, face.get_submodule(name).parameters()), share)
        if own.rates.embedding:
            self._rates |= dict.fromkeys(map(id, face.embedding.video.rest.parameters()), 1.0)
        face.embedding.requires_grad_(own.rates.embedding > 0)
        made: dict[str, nn.Module] = {"face": FaceLearner(face)}
        if "critics" in self.phases:
            made["critics"] = self._critics()
        return made

    def frozen(self) -> dict[str, nn.Module]:
        return {} if self._perceptual is None else {"perceptual": self._perceptual.backbone}

    def loss(
        self, phase: str, networks: Networks, batch: Batch, step: int, carried: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if phase == "critics":
            with torch.no_grad():
                made = self._made(networks, batch, draw=bool(self._pictures))
            return self._critics_loss(networks["critics"], batch, made)
        made, own = self._made(networks, batch), self._settings
        parts = contrasts(made["audio"], made["lips"], own.contrast)
        name = "reconstruction" if self._perceptual is not None else "l1"
        parts[name] = torch.stack(self._compared(networks, made, batch)).mean()
        if "critics" not in self.phases:
            return weighed(parts, own.losses.model_dump()), parts
        shown = {"sync": made["lips"].flatten(0, 1)}
        if own.disentangle:
            shown["speech"] = made["maps"]
        said = networks["critics"](**shown)
        if own.sync:
            parts["sync"] = taken_for_real(said["sync"])
        if own.disentangle:
            parts["disentangle"] = uniform_loss(said["speech"][0])
        if self._pictures:
            judged = [networks["critics"](**self._seen(made[f"by_{drive}"])) for drive in _DRIVES]
            parts["gan"] = torch.stack(
                [taken_for_real(each[n]) for each in judged for n in self._pictures]
            ).sum() / len(_DRIVES)
        return weighed(parts, own.losses.model_dump()), parts

    def figures(self, networks: Networks, batches: Iterator[Batch]) -> dict[str, float]:
        own, means, spoken = self._settings, Means(), SpokenFeatures(self._shown)
        learner = networks["face"]
        assert isinstance(learner, FaceLearner)
        for batch in batches:
            made, person = self._made(networks, batch), batch["reference_face"][:, 0]
            true, still = self._true(batch), self._still(batch)
            shown = {d: made[f"by_{d}"].clamp(-1, 1) for d in _DRIVES}
            losses = zip(_DRIVES, self._compared(networks, made, batch), strict=True)
            told = {f"{drive}_loss": loss for drive, loss in losses}
            for name, pictures in {**shown, "still": still}.items():
                told[f"{name}_psnr_db"] = _psnr(pictures, true)
                told[f"{name}_mouth_psnr_db"] = _psnr(_mouth(pictures), _mouth(true))
            if len(person) > 1:
                identity, speech = learner.face.identity(person), made["audio"].roll(1, 0)
                other = learner.drawn(identity, speech[:, own.drawn], made["rest"][:, own.drawn])
                change = (other.clamp(-1, 1) - shown["audio"]).abs()
                told["other_speech_mouth"] = _mouth(change).mean()
                told["other_speech_eyes"] = change[:, :, *box_in(own.size.side, EYE_BOX)].mean()
            for name, value in told.items():
                means.add(name, value, len(true))
            spoken.add(learner.face.embedding, made["lips"], batch)
        figures = means.found()
        figures["loss"] = (figures["audio_loss"] + figures["video_loss"]) / 2
        return figures | spoken.figures()

    def show(self, networks: Networks, batch: Batch) -> BoardMedia:
        few = {name: tensor[:6] for name, tensor in batch.items()}
        made, own = self._made(networks, few), self._settings
        middle = own.drawn_frames // 2
        drawn = [rows_of(made[f"by_{d}"], (-1, own.drawn_frames))[:, middle] for d in _DRIVES]
        columns = (few["reference_face"][:, 0], *drawn, few["face"][:, own.drawn][:, middle])
        sheet = shown_sheet(list(zip(*(levels(c).cpu().numpy() for c in columns), strict=True)))
        return BoardMedia({"face/identity, by speech, by video, true": sheet})

    def export(self, networks: Networks) -> dict[str, Export]:
        size = self._settings.size.model_dump(mode="json")
        state = networks["face"].get_submodule("face").state_dict()
        return {NETWORK: Export(NETWORK, size, state)}

    def facts(self) -> dict[str, Any]:
        compared = "L1" if self._perceptual is None else self._perceptual.name
        return {"pictures_compared_by": compared}

    def _critics(self) -> Critics:
        own, members = self._settings, dict[str, nn.Module]()
        if own.disentangle:
            side, channels = max(map_channels(own.size).items())
            frames = own.classified_frames if own.words_hidden else 1
            classes = own.classes if own.hidden == "speech" else OPENINGS
            about = own.classified_frames if own.hidden == "opening" else 1
            members["speech"] = SpeechCritic(
                channels, side, frames=frames, classes=classes, about=about
            )
        if own.sync:
            members["sync"] = SyncCritic(own.size.features)
        if "frame" in self._pictures:
            members["frame"] = PictureCritic(3, own.critic_width, _SCALES)
        if "sequence" in self._pictures:
            members["sequence"] = PictureCritic(3 * own.drawn_frames, own.critic_width)
        return Critics(**members)

    def _critics_loss(
        self, critics: nn.Module, batch: Batch, made: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        own, parts = self._settings, dict[str, Tensor]()
        true = self._true(batch)
        real = critics(sync=made["audio"].flatten(0, 1), **self._seen(true))
        shown = [self._seen(made[f"by_{d}"]) for d in _DRIVES] if self._pictures else [{}]
        shown[0]["sync"] = made["lips"].flatten(0, 1)
        if own.disentangle:
            shown[0]["speech"] = made["maps"]
        fake = [critics(**each) for each in shown]
        if own.sync:
            parts["sync_critic"] = critics_loss(real["sync"], fake[0]["sync"])
        if own.disentangle:
            labels = batch["word"] if own.words_hidden else batch["betrayed_class"].flatten()
            said = fake[0]["speech"][0]
            parts["speech_critic"] = functional.cross_entropy(said.float(), labels)
        for name in self._pictures:
            each = [critics_loss(real[name], one[name]) for one in fake]
            parts[f"{name}_critic"] = torch.stack(each).mean()
        return torch.stack(list(parts.values())).sum(), parts

    def _made(self, networks: Networks, batch: Batch, *, draw: bool = True) -> dict[str, Tensor]:
        own = self._settings
        made: dict[str, Tensor] = networks["face"](
            batch["reference_face"][:, 0],
            batch["face"],
            batch["cepstra"][:, self._shown],
            batch.get("betrayed_face") if own.disentangle else None,
            own.drawn if draw else None,
        )
        return made

    def _seen(self, pictures: Tensor) -> dict[str, Tensor]:
        """Drawn or true faces (sample * frame, 3, side, side) as their critics see them."""
        sequence = in_channels(rows_of(pictures, (-1, self._settings.drawn_frames)))
        return {n: {"frame": pictures, "sequence": sequence}[n] for n in self._pictures}

    def _true(self, batch: Batch) -> Tensor:
        """The faces that are to be drawn (sample * drawn, 3, side, side)."""
        return batch["face"][:, self._settings.drawn].flatten(0, 1)

    def _still(self, batch: Batch) -> Tensor:
        """Of each of them the picture that says who it is."""
        return batch["reference_face"][:, 0].repeat_interleave(self._settings.drawn_frames, 0)

    def _compared(self, networks: Networks, made: dict[str, Tensor], batch: Batch) -> list[Tensor]:
        """Loss of the faces of each drive, in float32."""
        losses, true = self._settings.losses, self._true(batch)
        with torch.autocast(true.device.type, enabled=False):
            drawn = [_limited(made[f"by_{drive}"].float()) for drive in _DRIVES]
            if self._perceptual is None:
                share, counted = losses.moved, None
                if share:
                    counted = where_moved(true, self._still(batch), share)
                return [davs_l1(m, true, eyes=losses.eyes, counted=counted) for m in drawn]
            judge = networks["perceptual"]
            assert isinstance(judge, Backbone)
            with torch.no_grad():
                wanted = judge(judge.prepare(compared_colours(true)))
            weights = VGG_WEIGHTS if isinstance(judge, Vgg19) else (1.0,) * len(wanted)
            return [
                feature_loss(judge(judge.prepare(compared_colours(each))), wanted, weights)
                for each in drawn
            ]


def _limited(pictures: Tensor) -> Tensor:
    """In -1..1, with a gradient that brings back what lies beyond, as a clamp's would not."""
    return pictures + (pictures.clamp(-1, 1) - pictures).detach()


class FaceLearner(nn.Module):
    """The talking face, as it is trained: all of a sample at once.

    Args:
        face: That is trained.
    """

    def __init__(self, face: TalkingFace) -> None:
        super().__init__()
        self.face = face
        self._learns = any(p.requires_grad for p in face.embedding.parameters())

    def train(self, mode: bool = True) -> "FaceLearner":
        """As of a module; an embedding that does not learn keeps its statistics."""
        super().train(mode)
        self.face.embedding.train(mode and self._learns)
        return self

    def forward(
        self,
        person: Tensor,
        faces: Tensor,
        cepstra: Tensor,
        betrayed: Tensor | None,
        drawn: slice | None,
    ) -> dict[str, Tensor]:
        """Features `audio`, `lips` and `rest` (sample, frame, feature), `maps` of the identity in
        faces that may betray speech, and faces drawn `by_audio` and `by_video`.

        Args:
            person: (sample, 3, side, side) RGB -1..1, who it shall be.
            faces: (sample, frame, 3, side, side), what a video shows.
            cepstra: (sample, frame, 20, 12), what is heard.
            betrayed: (sample, classified, 3, side, side); None: none are looked at.
            drawn: Which frames are drawn; None: none.
        """
        shape = faces.shape[:2]
        lips, rest = self.face.see(faces.flatten(0, 1))
        audio = self.face.hear(cepstra.flatten(0, 1))
        found = {"lips": lips, "audio": audio, "rest": rest}
        found = {name: rows_of(feature, shape) for name, feature in found.items()}
        if betrayed is not None:
            found["maps"] = self.face.identity(betrayed.flatten(0, 1)).finest
        if drawn is not None:
            # Together, so that a layer that normalises a batch sees the same in use.
            both = torch.cat([found[name][:, drawn] for name in ("audio", "lips")], 1)
            rest = found["rest"][:, drawn].repeat(1, len(_DRIVES), 1)
            made = self.drawn(self.face.identity(person), both, rest)
            each = rows_of(made, (len(faces), len(_DRIVES), -1)).unbind(1)
            found |= {f"by_{d}": one.flatten(0, 1) for d, one in zip(_DRIVES, each, strict=True)}
        return found

    def drawn(self, identity: Identity, lips: Tensor, rest: Tensor) -> Tensor:
        """Faces (sample * frame, 3, side, side).

        Args:
            identity: (sample, ...).
            lips: (sample, frame, feature) of speech or of video.
            rest: (sample, frame, feature).
        """
        whose = identity.repeated(lips.shape[1])
        made: Tensor = self.face(whose, lips.flatten(0, 1), rest.flatten(0, 1))
        return made


def _psnr(made: Tensor, true: Tensor) -> Tensor:
    """Mean over pictures in -1..1 [dB]."""
    return mean_psnr((made + 1) / 2, (true + 1) / 2)


def _mouth(pictures: Tensor) -> Tensor:
    return pictures[:, :, *box_in(pictures.shape[-1], MOUTH_BOX)]
