"""Methods by name. Each is what happens between the prepared inputs and the renders.

Adding one: a package in models/, a file here with a `METHOD`, a preset in configs/methods/.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from flows.names import OneOf, method_names
from flows.presets import checked, merge, read_yaml
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import SettingsError
from stores.shipped import shipped_file
from tasks.engine.device_settings import Precision


@dataclass(frozen=True)
class Prepared:
    """What every method gets of the source video.

    Attributes:
        video: The file.
        timeline: Its frames.
        landmarks: The chosen face.
        waveform: Of the source's own sound; None if it has none.
        output_frames: Which source frame each output frame shows, and when.
        precision: In which networks compute.
    """

    video: Source
    timeline: Artifact
    landmarks: Artifact
    waveform: Artifact | None
    output_frames: Artifact
    precision: Precision


@dataclass(frozen=True)
class Method:
    """A way to make the mouth.

    Attributes:
        name: As in `--method`.
        settings: Model of its settings.
        run: (prepared source, waveform of the new speech, settings) → `render` artifact.
        weights: Published weights that it needs with these settings, by their names in
            configs/weights/published.yaml.
    """

    name: str
    settings: type[BaseModel]
    run: Callable[[Prepared, Artifact, Any], Artifact]
    weights: Callable[[Any], tuple[str, ...]] = lambda settings: ()


@cache
def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        SettingsError: there is none; the message lists those that exist.
    """
    if problem := OneOf("method", method_names).problem(name):
        raise SettingsError(problem)
    found = importlib.import_module(f"flows.methods.{name}").METHOD
    assert isinstance(found, Method)
    return found


def method_settings(name: str, changes: dict[str, Any]) -> BaseModel:
    """The method's preset from configs/methods/, with changes on top.

    Args:
        changes: Nested; what is not named stays as in the preset.

    Raises:
        SettingsError: a setting is unknown or out of range.
    """
    model = find_method(name).settings
    preset = read_yaml(shipped_file(f"configs/methods/{name}.yaml"))
    return checked(model, merge(preset, changes), where=f"method {name}: ")
