"""What a user can set for a dub; the command's options, YAML and Prefect's forms follow it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from flows.cue_settings import CueSettings, Face
from flows.names import OneOf, method_names
from flows.origin_settings import OriginSettings
from flows.presets import checked, merge, nested, read_yaml
from models.faces.settings import BlendSettings
from models.restore.settings import RestoreSettings
from stores.artifacts.settings import default_store
from stores.errors import SettingsError
from stores.media.settings import DEFAULT_TRACK, EncodeSettings, MuxSettings
from tasks.engine.device_settings import DeviceSettings, Precision
from tasks.result.settings import SyncSettings

Track = Annotated[str, BeforeValidator(str), Field(min_length=1)]
"""A sound track, as `stores.media.tracks.find_track` takes it."""


class DubSettings(BaseModel):
    """One dub: what goes in, what comes out, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    video: Path = Field(description="source video, or a still picture")
    audio: Path | None = Field(
        None, description="the new speech: a sound file, or a video with sound"
    )
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
    cues: CueSettings = Field(default_factory=CueSettings)
    sync: SyncSettings = Field(default_factory=SyncSettings)
    blend: BlendSettings = Field(default_factory=BlendSettings)
    encode: EncodeSettings = Field(default_factory=EncodeSettings)
    sound: MuxSettings = Field(default_factory=MuxSettings)
    keep_background_db: float | None = Field(
        None, ge=-60, le=20, description="mix the source's own sound in at this gain [dB]"
    )
    bed: Path | None = Field(
        None, description="sound to mix in instead of the source's own: music and effects"
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

    @model_validator(mode="after")
    def _one_speech(self) -> "DubSettings":
        if (self.audio is None) == (self.cues.sheet is None):
            raise ValueError("give the new speech: either AUDIO or a cue sheet with --cues")
        return self

    @property
    def speech(self) -> Path:
        """The one speech file of a dub without a cue sheet.

        Raises:
            SettingsError: it has a cue sheet.
        """
        if self.audio is None:
            raise SettingsError(
                f"this needs one speech file, and {self.output} is dubbed by a cue sheet; "
                "change the sheet and run `dubflow dub` again"
            )
        return self.audio

    def absolute(self) -> "DubSettings":
        """The same wherever it is run: files by their absolute paths.

        What a text of the method's settings names is a file if it is there, and has a suffix or a
        folder before it.
        """
        found: DubSettings = _absolute(self)
        return found


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.absolute()
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return value.model_copy(update={name: _absolute(getattr(value, name)) for name in names})
    if isinstance(value, dict):
        return {name: _named_file(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_absolute, value))
    return value


def _named_file(value: Any) -> Any:
    if not isinstance(value, str):
        return _absolute(value)
    path = Path(value)
    is_file = (path.suffix or len(path.parts) > 1) and path.exists()
    return str(path.absolute()) if is_file else value


def given_settings(
    config: Path | None, changes: list[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What `read_settings` checks.

    Raises:
        SettingsError: the file can't be read, or a change is not of the form NAME=VALUE.
    """
    merged = {"store": default_store()} | (read_yaml(config) if config is not None else {})
    return merge(merge(merged, nested(changes, example="blend.mode=multiband")), options)


def read_settings(
    config: Path | None, changes: list[str], options: Mapping[str, Any]
) -> DubSettings:
    """Settings from a YAML file, then NAME=VALUE changes, then options, each over those before.

    Raises:
        SettingsError: a setting is unknown, malformed or out of range.
    """
    settings = checked(DubSettings, given_settings(config, changes, options))
    from flows.methods import method_settings  # imports the networks of the method: seconds

    method_settings(settings.method, settings.method_settings)
    return settings
