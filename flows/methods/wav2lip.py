"""Wav2Lip (Prajwal et al. 2020): a 96 x 96 face with its lower half made anew from speech."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.methods import Method, Prepared
from models.wav2lip.settings import Wav2LipCropSettings
from stores.artifacts.artifact import Artifact
from tasks.methods.wav2lip import wav2lip_crops, wav2lip_render
from tasks.speech.mel import mel
from tasks.weights.networks import find_weights


class Wav2LipSettings(BaseModel):
    """Settings of the method, by stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Literal["wav2lip_gan", "wav2lip"] = Field(
        "wav2lip_gan", description="wav2lip_gan: sharper; wav2lip: lips follow more closely"
    )
    crops: Wav2LipCropSettings = Field(default_factory=Wav2LipCropSettings)
    paste: Literal["soft", "hard"] = Field(
        "soft",
        description="soft: jaw and mouth, blended in like every method's; hard: the whole box, "
        "without blending, as published",
    )


def run(source: Prepared, speech: Artifact, settings: Wav2LipSettings) -> Artifact:
    """Prepared source and speech → `render` artifact."""
    faces = wav2lip_crops(source.video, source.timeline, source.landmarks, settings.crops)
    return wav2lip_render(
        faces,
        mel(speech, "reflect"),
        source.landmarks,
        source.timeline,
        source.output_frames,
        find_weights(settings.weights),
        settings.paste,
        source.precision,
    )


METHOD = Method("wav2lip", Wav2LipSettings, run, lambda settings: (settings.weights,))
