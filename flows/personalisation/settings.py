"""What a user can set of a personalisation. Imports nothing heavy."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.cue_settings import Face
from flows.names import OneOf, personalise_presets
from flows.presets import config_file, merge, read_yaml
from models.meta_talk.pseudo_settings import PseudoSettings
from stores.artifacts.settings import default_store
from tasks.engine.device_settings import DeviceSettings


class LabelSettings(PseudoSettings):
    """Who makes the person say foreign speech, and how much of it."""

    minutes: float = Field(
        300, gt=0, description="foreign speech that is learned from, drawn over all speakers [min]"
    )

    @property
    def teacher_settings(self) -> PseudoSettings:
        """What decides the labels of a speech, however much of it there is."""
        return PseudoSettings.model_validate(self.model_dump(exclude={"minutes"}))


class TrainingChanges(BaseModel):
    """One of the two trainings: a preset of its recipe, and changes of that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str | None = Field(None, description="of the recipe; none: paper")
    trainer: dict[str, Any] = Field({}, description="changes of the trainer's settings")
    settings: dict[str, Any] = Field({}, description="changes of the recipe's settings, nested")
    seconds_per_step: float | None = Field(
        None,
        gt=0,
        description="what a step takes where the preset is meant for; only tells the time left "
        "until it was measured",
    )


class PersonaliseSettings(BaseModel):
    """One personalisation: who, with which speech, and how.

    What a preset says holds where nothing else is given, whoever makes the object.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    video: Path = Field(description="video of the person who learns to speak")
    speech: Path | None = Field(
        None,
        description="foreign speech: a folder of sounds or videos, or an index of `dubflow "
        "prepare`; not needed with expression.settings.pairs=real",
    )
    output: Path = Field(description="folder of the run: weights, method.yaml, card, checkpoints")
    store: str = Field(default_factory=default_store, description="where artifacts are kept")
    preset: Annotated[str, OneOf("preset", personalise_presets, or_file=True)] | None = Field(
        None, description="where settings start from"
    )
    face: Face = Field(
        "largest", description="which face: largest, track:N, or x,y@seconds (a point on it)"
    )
    person: str | None = Field(
        None,
        description="regular expression; its first group, found in the path of a file below the "
        "speech folder, is the speaker. none: the subfolder, or for a file in none its name",
    )
    method_settings: dict[str, Any] = Field(
        {}, description="settings of the method meta_talk, checked against its own model"
    )
    pseudo: LabelSettings = LabelSettings.model_validate({})
    expression: TrainingChanges = TrainingChanges.model_validate({})
    renderer: TrainingChanges = TrainingChanges.model_validate({})
    licence: str | None = Field(None, description="of the weights, for their cards")
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    workers: int = Field(
        0, ge=0, description="ranges and clips computed at once; 0: one per processor, 8 at most"
    )
    restart: bool = Field(False, description="forget what the folder's run has learned so far")

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        name = given.get("preset") or _preset_for(given.get("devices") or {})
        path = config_file(name, folder="personalise", what="preset of a personalisation")
        return merge(read_yaml(path), given) | {"preset": name}


def _preset_for(devices: DeviceSettings | dict[str, Any]) -> str:
    """The paper's where there is a GPU to train on, else the small one."""
    from tasks.inference.device import choose_device  # torch: seconds

    given = DeviceSettings.model_validate(devices)
    return "paper" if choose_device(given.device).type == "cuda" else "small"
