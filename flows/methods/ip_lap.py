"""IP-LAP (Zhong et al. 2023): speech → landmarks of jaw and lips → the face that they describe."""

from typing import Literal

from pydantic import Field

from flows.methods import Method, NetworkMethodSettings
from flows.methods.exemplar import ExemplarSettings, borrowed_mouths
from models.exemplar.settings import CropSettings
from models.ip_lap.settings import IMAGES, MOST_IMAGES, IpLapCropSettings, References
from stores.artifacts.artifact import Artifact
from tasks.methods.ip_lap import ip_lap_crops, ip_lap_motion, ip_lap_references
from tasks.methods.ip_lap_render import ip_lap_detail, ip_lap_mouth, ip_lap_render
from tasks.source.crops import crops
from tasks.source.seen import Seen
from tasks.source.visibility import visibility
from tasks.speech.mel import mel
from tasks.weights.networks import weights_of

_LANDMARKS, _RENDERER = "ip_lap_landmark_generator", "ip_lap_renderer"
_NO_BANK = CropSettings(bank_limit=0)
"""Crops that only tell where the mouth is hidden: no pixels are kept to borrow."""


class IpLapSettings(NetworkMethodSettings):
    """Settings of the method, by stage."""

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


def run(seen: Seen, speech: Artifact, output_frames: Artifact, settings: IpLapSettings) -> Artifact:
    """Source and speech → `render` artifact."""
    generator = weights_of(settings.landmarks, _LANDMARKS)
    renderer = weights_of(settings.renderer, _RENDERER)
    borrow = settings.detail == "exemplar"
    bank = crops(seen, settings=CropSettings() if borrow else _NO_BANK)
    free = visibility(seen, crops=bank)
    faces = ip_lap_crops(seen, settings=settings.crops)
    chosen = ip_lap_references(seen, crops=faces, visibility=free, images=settings.references)
    columns = mel(speech)
    motion = ip_lap_motion(
        seen,
        crops=faces,
        references=chosen,
        mel=columns,
        output_frames=output_frames,
        weights=generator,
        precision=settings.precision,
    )
    made = ip_lap_render(
        seen,
        crops=faces,
        references=chosen,
        motion=motion,
        mel=columns,
        visibility=free,
        output_frames=output_frames,
        weights=renderer,
        paste=settings.paste,
        precision=settings.precision,
    )
    if not borrow:
        return made
    mouth = ip_lap_mouth(seen, motion=motion, crops=faces, output_frames=output_frames)
    own = borrowed_mouths(seen, mouth, bank, free, output_frames, ExemplarSettings())
    return ip_lap_detail(made, own)


METHOD = Method(IpLapSettings, run, lambda settings: (settings.landmarks, settings.renderer))
