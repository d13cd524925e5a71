"""IP-LAP (Zhong et al. 2023): speech → landmarks of jaw and lips → the face that they describe."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.methods import Method, Prepared
from models.exemplar import settings as exemplar
from models.ip_lap.settings import IMAGES, MOST_IMAGES, IpLapCropSettings, References
from stores.artifacts.artifact import Artifact
from stores.errors import SettingsError
from tasks.methods.exemplar import exemplar_render, lenders
from tasks.methods.ip_lap import ip_lap_crops, ip_lap_motion, ip_lap_references
from tasks.methods.ip_lap_render import ip_lap_detail, ip_lap_mouth, ip_lap_render
from tasks.source.crops import crops
from tasks.source.visibility import visibility
from tasks.speech.mel import mel
from tasks.weights.networks import find_weights, network_of

_LANDMARKS, _RENDERER = "ip_lap_landmark_generator", "ip_lap_renderer"


class IpLapSettings(BaseModel):
    """Settings of the method, by stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    landmarks: str = Field(
        _LANDMARKS,
        description="weights of the landmark generator: a name, or a file of `dubflow train`",
    )
    renderer: str = Field(
        _RENDERER, description="weights of the renderer: a name, or a file of `dubflow train`"
    )
    crops: IpLapCropSettings = Field(default_factory=IpLapCropSettings)
    references: References = Field(
        IMAGES,
        description="reference images: a number (published: 25), or fifth: a fifth of the frames "
        f"(the paper), at most {MOST_IMAGES}",
    )
    paste: Literal["soft", "contour"] = Field(
        "soft",
        description="soft: jaw and mouth, blended in like every method's; contour: the whole "
        "face below the brows, as published",
    )
    detail: Literal["none", "exemplar"] = Field(
        "none",
        description="exemplar: fine detail from the source's own frames, for faces larger than "
        "128 px",
    )


def run(source: Prepared, speech: Artifact, settings: IpLapSettings) -> Artifact:
    """Prepared source and speech → `render` artifact."""
    generator, renderer = (
        _weights(settings.landmarks, _LANDMARKS),
        _weights(settings.renderer, _RENDERER),
    )
    bank = crops(source.video, source.timeline, source.landmarks, exemplar.CropSettings())
    seen = visibility(bank, source.landmarks, source.timeline)
    faces = ip_lap_crops(source.video, source.timeline, source.landmarks, settings.crops)
    chosen = ip_lap_references(faces, source.landmarks, seen, settings.references)
    heard = mel(speech)
    motion = ip_lap_motion(
        faces,
        chosen,
        heard,
        source.landmarks,
        source.timeline,
        source.output_frames,
        generator,
        source.precision,
    )
    made = ip_lap_render(
        faces,
        chosen,
        motion,
        heard,
        source.landmarks,
        seen,
        source.timeline,
        source.output_frames,
        renderer,
        settings.paste,
        source.precision,
    )
    if settings.detail == "none":
        return made
    mouth = ip_lap_mouth(motion, faces, source.landmarks, source.output_frames)
    lent = lenders(
        mouth,
        source.landmarks,
        bank,
        seen,
        source.timeline,
        source.output_frames,
        exemplar.LenderSettings(),
        exemplar.RenderSettings(),
    )
    own = exemplar_render(
        lent, mouth, source.landmarks, bank, source.output_frames, exemplar.RenderSettings()
    )
    return ip_lap_detail(made, own)


def _weights(name: str, network: str) -> Artifact:
    """The weights of that name or file.

    Raises:
        SettingsError: they are of another network.
    """
    weights = find_weights(name)
    if network_of(weights) != network:
        raise SettingsError(f"{name} holds weights of {network_of(weights)}, not of {network}")
    return weights


METHOD = Method(
    "ip_lap", IpLapSettings, run, lambda settings: (settings.landmarks, settings.renderer)
)
