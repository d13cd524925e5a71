"""The default method: the speaker's own frames, picked, warped and blended. Needs no download."""

from collections.abc import Mapping

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
from tasks.speech.lip_expression import lip_expression
from tasks.speech.lips_model import expression_key, model_key
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
    expression: bool = Field(
        default=True,
        description="the lips keep the expression of the frame's own face, such as a smile",
    )
    exclude_within_s: float | None = Field(
        default=None, ge=0, description="never borrow from this near in time [s]; for evaluation"
    )


def run(
    seen: Seen, speech: Artifact, output_frames: Artifact, settings: ExemplarSettings
) -> Artifact:
    """Source and speech → `render` artifact."""
    bank = crops(seen, settings=settings.crops)
    person = speaker(seen, **heard_own(seen, settings.adapt), model=model_key())
    wanted = motion(
        seen,
        **heard(speech),
        speaker=person,
        expression=expression_of(seen, person) if settings.expression else None,
        output_frames=output_frames,
    )
    free = visibility(seen, crops=bank)
    return borrowed_mouths(seen, wanted, bank, free, output_frames, settings)


def heard(sound: Artifact) -> dict[str, Artifact]:
    """What networks hear of a sound, by the names that stages give it."""
    return {"mel": mel(sound), "features": speech_features(sound)}


def heard_own(seen: Seen, wanted: bool = True) -> Mapping[str, Artifact | None]:
    """The same of a video's own sound; None for each where it has none, or it is not wanted."""
    if seen.waveform is None or not wanted:
        return {"mel": None, "features": None}
    return heard(seen.waveform)


def expression_of(seen: Seen, person: Artifact) -> Artifact:
    """The `lip_expression` of a video.

    Args:
        person: The `speaker` of it.
    """
    return lip_expression(seen, speaker=person, **heard_own(seen), model=expression_key())


def listen(speech: Artifact, own: Artifact | None, settings: ExemplarSettings) -> None:
    """What `run` needs of the new speech, and of the speaker's own."""
    heard(speech)
    if own is not None and (settings.adapt or settings.expression):
        heard(own)


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
