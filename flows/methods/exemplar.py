"""The default method: the speaker's own frames, picked, warped and blended. Needs no download."""

from pydantic import BaseModel, ConfigDict, Field

from flows.methods import Method, Prepared
from models.exemplar.settings import CropSettings, LenderSettings, RenderSettings
from stores.artifacts.artifact import Artifact
from tasks.methods.exemplar import exemplar_render, lenders
from tasks.source.crops import crops
from tasks.source.visibility import visibility
from tasks.speech.lips_model import model_key
from tasks.speech.mel import mel
from tasks.speech.motion import motion
from tasks.speech.speaker import speaker
from tasks.speech.speech_features import speech_features


class ExemplarSettings(BaseModel):
    """Settings of the method, by stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crops: CropSettings = Field(default_factory=CropSettings)
    lenders: LenderSettings = Field(default_factory=LenderSettings)
    render: RenderSettings = Field(default_factory=RenderSettings)
    adapt: bool = Field(
        True, description="learn the speaker's way to move the mouth from the source's own speech"
    )
    exclude_within_s: float | None = Field(
        None, ge=0, description="never borrow from this near in time [s]; for evaluation"
    )


def run(source: Prepared, speech: Artifact, settings: ExemplarSettings) -> Artifact:
    """Prepared source and speech → `render` artifact."""
    bank = crops(source.video, source.timeline, source.landmarks, settings.crops)
    seen = visibility(bank, source.landmarks, source.timeline)
    own_mel, own_speech = None, None
    if settings.adapt and source.waveform:
        own_mel, own_speech = mel(source.waveform), speech_features(source.waveform)
    person = speaker(source.landmarks, source.timeline, own_mel, own_speech, model_key())
    wanted = motion(
        mel(speech), speech_features(speech), person, source.output_frames, source.timeline
    )
    lent = lenders(
        wanted,
        source.landmarks,
        bank,
        seen,
        source.timeline,
        source.output_frames,
        settings.lenders,
        settings.render,
        settings.exclude_within_s,
    )
    return exemplar_render(
        lent, wanted, source.landmarks, bank, source.output_frames, settings.render
    )


METHOD = Method("exemplar", ExemplarSettings, run)
