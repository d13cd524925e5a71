"""The default method: the speaker's own frames, picked, warped and blended. Needs no download."""

from pydantic import Field

from flows.methods import Method, MethodSettings
from models.exemplar.settings import CropSettings, LenderSettings, RenderSettings
from stores.artifacts.artifact import Artifact
from tasks.methods.exemplar import exemplar_render, lenders
from tasks.methods.polish_model import polish_key
from tasks.source.crops import crops
from tasks.source.seen import Seen
from tasks.source.small_mouths import small_mouths
from tasks.source.visibility import visibility
from tasks.speech.lips_model import model_key
from tasks.speech.mel import mel
from tasks.speech.motion import motion
from tasks.speech.speaker import speaker
from tasks.speech.speech_features import speech_features


class ExemplarSettings(MethodSettings):
    """Settings of the method, by stage."""

    crops: CropSettings = Field(default_factory=CropSettings)
    lenders: LenderSettings = Field(default_factory=LenderSettings)
    render: RenderSettings = Field(default_factory=RenderSettings)
    adapt: bool = Field(
        default=True,
        description="learn the speaker's way to move the mouth from the source's own speech",
    )
    exclude_within_s: float | None = Field(
        default=None, ge=0, description="never borrow from this near in time [s]; for evaluation"
    )


def run(
    seen: Seen, speech: Artifact, output_frames: Artifact, settings: ExemplarSettings
) -> Artifact:
    """Source and speech → `render` artifact."""
    bank = crops(seen, settings=settings.crops)
    learn = settings.adapt and seen.waveform is not None
    person = speaker(
        seen,
        mel=mel(seen.waveform) if learn else None,
        features=speech_features(seen.waveform) if learn else None,
        model=model_key(),
    )
    wanted = motion(
        seen,
        mel=mel(speech),
        features=speech_features(speech),
        speaker=person,
        output_frames=output_frames,
    )
    free = visibility(seen, crops=bank)
    return borrowed_mouths(seen, wanted, bank, free, output_frames, settings)


def listen(speech: Artifact, own: Artifact | None, settings: ExemplarSettings) -> None:
    """What `run` needs of the new speech, and of the speaker's own."""
    for heard in (speech, own if settings.adapt else None):
        if heard is not None:
            mel(heard)
            speech_features(heard)


def borrowed_mouths(
    seen: Seen,
    wanted: Artifact,
    bank: Artifact,
    free: Artifact,
    output_frames: Artifact,
    settings: ExemplarSettings,
) -> Artifact:
    """A `render` of mouths made of the speaker's own frames.

    Args:
        wanted: The `motion` that they shall have.
        bank: `crops`, the frames to borrow from.
        free: `visibility` in them.
    """
    lent = lenders(
        seen,
        motion=wanted,
        crops=bank,
        visibility=free,
        output_frames=output_frames,
        settings=settings.lenders,
        render=settings.render,
        exclude_within_s=settings.exclude_within_s,
    )
    polish = settings.render.polish
    return exemplar_render(
        seen,
        lenders=lent,
        motion=wanted,
        crops=bank,
        mouths=small_mouths(bank, seen.landmarks) if polish else None,
        output_frames=output_frames,
        settings=settings.render,
        model=polish_key() if polish else None,
    )


def least_seconds(settings: ExemplarSettings) -> float:
    """Every frame needs another one that is far enough from it in time."""
    return 2 * (settings.exclude_within_s or 0.0)


METHOD = Method(ExemplarSettings, run, least_seconds=least_seconds, listen=listen)
