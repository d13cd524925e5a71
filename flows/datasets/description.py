"""What is known of a data set, and the clips that its readers find."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flows.presets import checked, config_file, read_yaml

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Clip:
    """One file of a data set.

    Attributes:
        name: Path below the data folder, with slashes.
        path: The file.
        person: Who speaks, or the closest thing that is known.
        split: As published; None where it is to be drawn.
        language: As ISO 639-1 writes it.
        transcript: What is said.
    """

    name: str
    path: Path
    person: str
    split: Split | None = None
    language: str | None = None
    transcript: str | None = None


class Description(BaseModel):
    """One data set; a YAML file in configs/datasets/, or a user's own of the same layout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    home: str = Field(description="its page")
    licence: str = Field(description="of its contents")
    data: str = Field(description="what the folder given with --data must look like")
    about: str
    reader: Literal["lrs2", "lrs3", "lrw", "voxceleb2", "named", "folder"] = Field(
        description="who knows its folders and lists; named: all is said by the files' names"
    )
    glob: list[str] = Field([], description="patterns below the data folder (named, folder)")
    person: str | None = Field(
        None,
        description="regular expression (named, folder); its first group, found in a clip's name, "
        "is the person. A name without it is a person of its own",
    )
    transcript: str | None = Field(
        None, description="regular expression (named); its first group is a key of `transcripts`"
    )
    transcripts: dict[str, str] = Field({}, description="what is said in clips of that key")
    language: str | None = Field(None, description="of all clips, as ISO 639-1 writes it")
    validation: float = Field(
        0, ge=0, lt=1, description="share of the persons without a split that is for validation"
    )
    test: float = Field(
        0, ge=0, lt=1, description="share of the persons without a split that is for tests"
    )
    validation_of_train: float = Field(
        0, ge=0, lt=1, description="share of the persons published for training that is validation"
    )

    @field_validator("person", "transcript")
    @classmethod
    def _has_a_group(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"is no regular expression ({error})") from None
            if not groups:
                raise ValueError("needs a group, as in (p[0-9]+)_")
        return value


def read_description(name: str, **changes: Any) -> Description:
    """A shipped data set by name, or a user's by the path of its YAML file.

    Args:
        changes: Fields to set; None leaves a field as it is.

    Raises:
        SettingsError: there is none, or it is not as it must be.
    """
    path = config_file(name, folder="datasets", what="data set")
    given = {key: value for key, value in changes.items() if value is not None}
    found = read_yaml(path)
    described = checked(Description, found, where=f"{path}: ")
    return checked(Description, found | given) if given else described
