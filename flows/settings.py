"""What a user can set for a dub; the command's options, YAML and Prefect's forms follow it."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.methods import merge, method_settings
from models.faces.blend import BlendSettings
from models.restore.settings import RestoreSettings
from stores.artifacts.store import default_store
from stores.errors import SettingsError
from stores.media.encode import EncodeSettings
from stores.media.mux import MuxSettings
from tasks.engine.device_settings import DeviceSettings, Precision
from tasks.result.output_frames import SyncSettings


class DubSettings(BaseModel):
    """One dub: what goes in, what comes out, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video: Path = Field(description="source video, or a still picture")
    audio: Path = Field(description="the new speech: a sound file, or a video with sound")
    output: Path = Field(description="file to write: .mp4, .mov or .mkv")
    store: str = Field(description="where artifacts are kept: a folder")
    method: str = Field("exemplar", description="how the mouth is made")
    face: str = Field(
        "largest", description="which face: largest, track:N, or x,y@seconds (a point on it)"
    )
    detector: Literal["mediapipe", "s3fd"] = Field(
        "mediapipe", description="what finds faces; s3fd: face-alignment's, needs its weights"
    )
    sync: SyncSettings = Field(default_factory=SyncSettings)
    blend: BlendSettings = Field(default_factory=BlendSettings)
    encode: EncodeSettings = Field(default_factory=EncodeSettings)
    sound: MuxSettings = Field(default_factory=MuxSettings)
    keep_background_db: float | None = Field(
        None, ge=-60, le=20, description="mix the source's own sound in at this gain [dB]"
    )
    restore: RestoreSettings = Field(default_factory=RestoreSettings)
    precision: Precision = Field(
        "float32", description="of networks; bfloat16 and float16 are faster on a GPU"
    )
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    method_settings: dict[str, Any] = Field(
        default_factory=dict, description="settings of the method, checked against its own model"
    )
    workers: int = Field(
        0, ge=0, description="ranges computed at once; 0: one per processor, 8 at most"
    )


def explain(error: ValidationError) -> SettingsError:
    """One line out of pydantic's report: the setting, the value, the rule."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {first['input']!r}"
    return SettingsError(f"{where}: {first['msg'].lower()}{got}")


def read_settings(config: Path | None, changes: list[str], options: dict[str, Any]) -> DubSettings:
    """Settings from a YAML file, then NAME=VALUE changes, then options; None means "not given".

    Raises:
        SettingsError: a setting is unknown, malformed or out of range.
    """
    merged: dict[str, Any] = {"store": default_store()}
    if config is not None:
        merged = merge(merged, _read_yaml(config))
    merged = merge(merged, nested(changes, example="blend.mode=multiband"))
    merged = merge(merged, _given(options))
    try:
        settings = DubSettings.model_validate(merged)
    except ValidationError as error:
        raise explain(error) from None
    method_settings(settings.method, settings.method_settings)
    return settings


def nested(changes: list[str], *, example: str) -> dict[str, Any]:
    """Settings from NAME=VALUE texts, names dotted where they are nested, values as in YAML.

    Raises:
        SettingsError: a text is not of that form; shows the example.
    """
    settings: dict[str, Any] = {}
    for change in changes:
        name, separator, value = change.partition("=")
        if not (separator and name):
            raise SettingsError(f"--set {change}: expected NAME=VALUE, as in {example}")
        below: Any = yaml.safe_load(value)
        for part in reversed(name.split(".")):
            below = {part: below}
        settings = merge(settings, below)
    return settings


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} must hold settings by name")
    return found


def _given(options: dict[str, Any]) -> dict[str, Any]:
    nested = {n: _given(v) if isinstance(v, dict) else v for n, v in options.items()}
    return {name: value for name, value in nested.items() if value is not None and value != {}}
