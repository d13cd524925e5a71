"""Methods by name: each file of this folder is one, and says what makes the new mouths.

A package of the same layout elsewhere on the Python path (`flows/methods/NAME.py`,
`configs/methods/NAME.yaml`) adds methods without an edit here; see docs/add_a_method.md.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flows.names import OneOf, method_names
from flows.presets import checked, merge, read_yaml
from stores.artifacts.artifact import Artifact
from stores.errors import SettingsError
from tasks.engine.device_settings import Precision
from tasks.source.seen import Seen

__path__ = pkgutil.extend_path(__path__, __name__)


class MethodSettings(BaseModel):
    """Base of the settings of methods."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkMethodSettings(MethodSettings):
    """Base of the settings of methods that run networks."""

    precision: Precision = Field(
        "float32", description="what its networks compute in; `--precision` sets it"
    )


@dataclass(frozen=True)
class Method:
    """A way to make the mouth; a file of this folder holds one as `METHOD`.

    Attributes:
        settings: Model of its settings.
        run: (source, waveform of the new speech, output frames, settings) → `render` artifact.
        weights: Names of the weights that it needs with these settings, as in configs/weights/.
        files: What it looks at with these settings, beside video and speech.
        least_seconds: Shorter videos can't be dubbed with these settings.
        listen: (waveform of the new speech, that of the source or None, settings): calls what `run`
            will call and what needs no picture, so that it is done while faces are looked for.
    """

    settings: type[MethodSettings]
    run: Callable[[Seen, Artifact, Artifact, Any], Artifact]
    weights: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    files: Callable[[Any], tuple[Path, ...]] = lambda settings: ()
    least_seconds: Callable[[Any], float] = lambda settings: 0.0
    listen: Callable[[Artifact, Artifact | None, Any], None] = lambda speech, own, settings: None


@cache
def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        SettingsError: there is none; the message lists those that exist.
    """
    found = _module(name).METHOD
    assert isinstance(found, Method)
    return found


def method_settings(
    name: str, changes: dict[str, Any], *, precision: Precision = "float32"
) -> MethodSettings:
    """The method's preset from configs/methods/, with changes on top.

    Args:
        name: Of the method.
        changes: Of its settings, nested. What the folder `run` says goes below them.
        precision: Of its networks, if it runs any.

    Raises:
        SettingsError: a setting is unknown or out of range, or `run` is no finished run.
    """
    model, preset = find_method(name).settings, _preset(name)
    if changes.get("run") and "run" in model.model_fields:
        preset = merge(preset, run_settings(Path(changes["run"])))
    merged = merge(preset, changes)
    if issubclass(model, NetworkMethodSettings):
        merged = {"precision": precision} | merged
    return checked(model, merged, where=f"method {name}: ")


RUN_FILE = "method.yaml"
"""Settings of a method in the folder of a run that trained it on a person."""


def run_settings(run: Path) -> dict[str, Any]:
    """A method's settings as the run of a person has left them; weights lie in its folder.

    Raises:
        SettingsError: there is no such run, or it has not come to its end.
    """
    path = run / RUN_FILE
    if not path.is_file():
        raise SettingsError(
            f"{run} holds no {RUN_FILE}: give a folder that `dubflow personalise` has finished"
        )
    return {
        name: str(run / value) if str(value).endswith(".safetensors") else value
        for name, value in read_yaml(path).items()
    }


def _module(name: str) -> Any:
    if problem := OneOf("method", method_names).problem(name):
        raise SettingsError(problem)
    return importlib.import_module(f"{__name__}.{name}")


def _preset(name: str) -> dict[str, Any]:
    """What configs/methods/ says, in the tree that the method's file lies in."""
    path = Path(_module(name).__file__).parents[2] / "configs" / "methods" / f"{name}.yaml"
    return read_yaml(path) if path.is_file() else {}
