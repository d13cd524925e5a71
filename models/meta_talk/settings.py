"""Settings of Meta Talk: its face crops, and the size of its neural face renderer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Side = Literal[256, 512, 768, 1024]


class Settings(BaseModel):
    """What no key may be added to, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FaceSettings(Settings):
    """How the lower face is drawn and cut out."""

    side: Side | Literal["auto"] = Field(
        "auto", description="of the pictures; auto: the least that loses nothing of the crop [px]"
    )
    zoom: float = Field(
        default=2.0,
        ge=1,
        le=2.5,
        description="share of the fit's square that the pictures show, as 1 / zoom; 1: all of it, "
        "as AudioDVP; 2: little more than the lower face, at a quarter of the work",
    )
    opened: float | None = Field(
        None,
        le=0,
        description="first expression coefficient of the widest mouth that the mask has room for; "
        "none: a little wider than the clip's",
    )


class NeuralRendererSize(Settings):
    """Layout of the neural face renderer; the defaults are the published one."""

    width: int = Field(default=64, ge=1, description="channels of the outermost level")
    window: Literal[1, 7] = Field(default=7, description="consecutive renders seen; 1: no context")
    input: Literal["render", "render_and_exemplar"] = Field(
        default="render",
        description="what is seen: renders of the face model; or also the frame with a mouth that "
        "the exemplar method borrows for it, whose detail need not be made up",
    )
    refine: bool = Field(
        default=True, description="two more convolutions at each level; false: pix2pix"
    )
