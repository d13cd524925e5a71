"""Wav2Lip (Prajwal et al. 2020): a 96 x 96 face with its lower half made anew from speech."""

from typing import Literal

from pydantic import Field

from flows.methods import Method, NetworkMethodSettings
from models.wav2lip.settings import Wav2LipCropSettings
from stores.artifacts.artifact import Artifact
from tasks.methods.wav2lip import wav2lip_crops, wav2lip_render
from tasks.source.seen import Seen
from tasks.speech.mel import mel
from tasks.weights.networks import weights_of


class Wav2LipSettings(NetworkMethodSettings):
    """Settings of the method, by stage."""

    weights: str = Field(
        "wav2lip_gan",
        description="of the generator: wav2lip_gan: sharper; wav2lip: lips follow more closely; or "
        "a file of `dubflow train`",
    )
    crops: Wav2LipCropSettings = Field(default_factory=Wav2LipCropSettings)
    paste: Literal["soft", "hard"] = Field(
        "soft",
        description="soft: jaw and mouth, blended in like every method's; hard: the whole box, "
        "without blending, as published",
    )


def run(
    seen: Seen, speech: Artifact, output_frames: Artifact, settings: Wav2LipSettings
) -> Artifact:
    """Source and speech → `render` artifact."""
    return wav2lip_render(
        seen,
        crops=wav2lip_crops(seen, settings=settings.crops),
        mel=mel(speech, "reflect"),
        output_frames=output_frames,
        weights=weights_of(settings.weights, "wav2lip_generator"),
        paste=settings.paste,
        precision=settings.precision,
    )


METHOD = Method(Wav2LipSettings, run, lambda settings: (settings.weights,))
