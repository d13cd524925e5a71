"""What a training takes. Imports nothing heavy."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.names import OneOf, preset_names, recipe_names
from stores.artifacts.settings import default_store


class TrainSettings(BaseModel):
    """One training: what is trained, on what, and where the result goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Annotated[str, OneOf("recipe", recipe_names)] = Field(
        description="what is trained, and how it learns"
    )
    data: Path = Field(
        description="index of a prepared data set, or a folder of clips to prepare; for a network "
        "of one person the artifact that it learns from, as meta_talk_faces/KEY"
    )
    output: Path = Field(description="folder of the run: checkpoints, weights, card")
    store: str = Field(default_factory=default_store, description="where the prepared data lies")
    preset: Annotated[str, OneOf("preset", preset_names, or_file=True)] | None = Field(
        None, description="where settings start from; small trains on a CPU"
    )
    trainer: dict[str, Any] = Field(
        default_factory=dict, description="changes of the trainer's settings"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="changes of the recipe's settings, nested"
    )
    person: str | None = Field(
        None, description="of a folder: the first group of this expression is the person"
    )
    licence: str | None = Field(
        None, description="of the weights, for their card; none: as the training data's"
    )
    restart: bool = Field(False, description="forget what the folder's run has learned so far")
    export: bool = Field(
        False,
        description="write weights and card of the best checkpoint so far, and learn nothing; a "
        "run that goes on meanwhile is not disturbed",
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.restart and self.export:
            raise ValueError("--restart forgets the checkpoints that --export writes weights of")
        return self
