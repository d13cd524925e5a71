"""What a user can set of the fit of a face model. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class NetworkFitSettings(BaseModel):
    """How AudioDVP's network is trained on a clip; the defaults are the published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(20, ge=1, le=1000, description="how often it sees each frame")
    frames: int = Field(
        6000, ge=1, description="frames it sees at most, spread over the video (4 min at 25 fps)"
    )
    random_start: bool = Field(
        False, description="begin without the published weights; worse, and only where asked for"
    )


class FitSettings(BaseModel):
    """How the coefficients of a face are found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["mesh", "photometric", "network", "regressor"] = Field(
        "photometric",
        description="mesh: from the landmarks alone; photometric: from pictures too; network: by "
        "AudioDVP's network, trained on this video; regressor: by Deep3D's",
    )
    basis: str = Field(
        "own", description="own, or a file BFM_model_front.mat of your Basel Face Model"
    )
    landmarks: Literal["mesh", "fan"] = Field(
        "mesh", description="mesh: of the face mesh; fan: of face-alignment, as published"
    )
    crop: Literal["track", "fixed"] = Field(
        "track", description="the square follows the head, or (static camera) stays for a scene"
    )
    person_frames: int = Field(
        48, ge=1, le=200, description="frames that the person's shape and albedo are learnt from"
    )
    person_iterations: int = Field(
        80, ge=1, le=1000, description="steps of that, where pictures are looked at"
    )
    iterations: int = Field(
        12, ge=1, le=1000, description="steps for each frame, where pictures are looked at"
    )
    temporal: float = Field(
        1.0, ge=0, description="how much coefficients are drawn to those of the frame before"
    )
    network: NetworkFitSettings = NetworkFitSettings.model_validate({})

    @model_validator(mode="after")
    def _fits(self) -> "FitSettings":
        if self.mode == "mesh" and self.basis != "own":
            raise ValueError("mode mesh knows the own basis alone; choose photometric for a file")
        if self.mode == "regressor" and self.basis == "own":
            raise ValueError(
                "mode regressor gives coefficients of the Basel Face Model; set basis to your file "
                "BFM_model_front.mat"
            )
        return self

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the published weights that are needed."""
        network = {"regressor": "deep3d_recon", "network": "audiodvp_resnet50_vggface2"}
        named = [network[self.mode]] if self.mode in network else []
        if self.mode == "network" and self.network.random_start:
            named = []
        return (*named, *(["fan_2dfan4"] if self.landmarks == "fan" else []))
