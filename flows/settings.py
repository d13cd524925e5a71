"""What a user can set for a dub; the command's options, YAML and Prefect's forms follow it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from flows.names import OneOf, method_names
from flows.origin_settings import OriginSettings
from flows.presets import checked, merge, nested, read_yaml
from models.faces.settings import BlendSettings
from models.restore.settings import RestoreSettings
from stores.artifacts.settings import default_store
from stores.media.settings import DEFAULT_TRACK, EncodeSettings, MuxSettings
from tasks.engine.device_settings import DeviceSettings, Precision
from tasks.result.settings import SyncSettings

_FACE = r"largest|track:\d+|\d+(\.\d+)?,\d+(\.\d+)?@\d+(\.\d+)?"


def _names_a_face(value: str) -> str:
    if not re.fullmatch(_FACE, value):
        raise ValueError(
            f"{value!r} names no face: largest, track:N or x,y@seconds, as in 640,300@12.5"
        )
    return value


Face = Annotated[str, AfterValidator(_names_a_face)]
"""A face of a video, as `tasks.source.track.follow_person` takes it."""

Track = Annotated[str, BeforeValidator(str), Field(min_length=1)]
"""A sound track, as `stores.media.tracks.find_track` takes it."""


class DubSettings(BaseModel):
    """One dub: what goes in, what comes out, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video: Path = Field(description="source video, or a still picture")
    audio: Path = Field(description="the new speech: a sound file, or a video with sound")
    output: Path = Field(description="file to write: .mp4, .mov or .mkv")
    store: str = Field(description="where artifacts are kept: a folder, or s3://bucket/path")
    method: Annotated[str, OneOf("method", method_names)] = Field(
        "exemplar", description="how the mouth is made"
    )
    face: Face = Field(
        "largest", description="which face: largest, track:N, or x,y@seconds (a point on it)"
    )
    detector: Literal["mediapipe", "s3fd"] = Field(
        "mediapipe", description="what finds faces; s3fd: face-alignment's, needs its weights"
    )
    audio_track: Track = Field(
        DEFAULT_TRACK, description="sound track of AUDIO: a number from 1, or a language as in deu"
    )
    source_track: Track = Field(
        DEFAULT_TRACK,
        description="sound track of VIDEO that holds its own speech, which --keep-background keeps",
    )
    sync: SyncSettings = Field(default_factory=SyncSettings)
    blend: BlendSettings = Field(default_factory=BlendSettings)
    encode: EncodeSettings = Field(default_factory=EncodeSettings)
    sound: MuxSettings = Field(default_factory=MuxSettings)
    keep_background_db: float | None = Field(
        None, ge=-60, le=20, description="mix the source's own sound in at this gain [dB]"
    )
    restore: RestoreSettings = Field(default_factory=RestoreSettings)
    origin: OriginSettings = Field(default_factory=OriginSettings)
    precision: Precision = Field(
        "float32", description="what networks compute in; bfloat16 and float16 are faster on a GPU"
    )
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    method_settings: dict[str, Any] = Field(
        default_factory=dict, description="settings of the method, checked against its own model"
    )
    workers: int = Field(
        0, ge=0, description="ranges computed at once; 0: one per processor, 8 at most"
    )


def read_settings(
    config: Path | None, changes: list[str], options: Mapping[str, Any]
) -> DubSettings:
    """Settings from a YAML file, then NAME=VALUE changes, then options, each over those before.

    Raises:
        SettingsError: a setting is unknown, malformed or out of range.
    """
    merged = {"store": default_store()} | (read_yaml(config) if config is not None else {})
    merged = merge(merged, nested(changes, example="blend.mode=multiband"))
    settings = checked(DubSettings, merge(merged, options))
    from flows.methods import method_settings  # imports the networks of the method: seconds

    method_settings(settings.method, settings.method_settings)
    return settings
