"""What a user can set of output files. Imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_TRACK = "default"
"""The sound track that a file marks as default, else its first."""

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


class EncodeSettings(BaseModel):
    """How the output's pictures are compressed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: Literal["auto", "h264", "hevc"] = Field(
        default="auto",
        description="Video codec. auto is hevc for HDR (HLG, PQ), else h264. hevc is about half "
        "the size and several times slower.",
    )
    crf: float = Field(
        default=17.0,
        ge=0.0,
        le=40.0,
        description="Constant rate factor: 0 best, 17 can't be told from the source, 23 usual, "
        "+6 halves the size.",
    )
    preset: Preset = Field(
        default="superfast",
        description="Effort of the encoder. A slower one makes smaller files of equal quality.",
    )
    keyframe_seconds: float = Field(
        default=4.0, gt=0.0, le=60.0, description="Longest time between keyframes, in seconds."
    )


class MuxSettings(BaseModel):
    """How sound is compressed in the output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    audio_codec: Literal["aac", "flac", "alac", "pcm"] = Field(
        default="aac", description="Sound codec; all but aac are lossless (24 bit)."
    )
    audio_kbps_per_channel: int = Field(
        default=128, ge=16, le=256, description="Bit rate of aac, in kbit/s for each channel."
    )
