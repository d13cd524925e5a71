"""The timeline of a video: when each frame is shown, by decoding every one of them."""

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from stores.media.facts import AudioFacts, VideoFacts
from stores.media.timecode import advanced

_ARRAYS = {
    "pts": np.dtype(np.int64),
    "decoded_pts": np.dtype(np.int64),
    "keyframe": np.dtype(np.bool_),
    "scene_start": np.dtype(np.bool_),
}


@dataclass(frozen=True)
class Part:
    """Where in its file a part lies.

    Attributes:
        begin: ticks from what the file plays first to time 0 of the part.
        keyframe: ticks, as the decoder gives them, of the keyframe that the first frame needs;
            None: it is not shown.
    """

    begin: int
    keyframe: int | None


@dataclass(frozen=True)
class Timeline:
    """Each frame of a video, or of a part of it, in presentation order, and what the streams are.

    Attributes:
        pts: presentation times in ticks of `video.time_base`, strictly increasing.
        decoded_pts: ticks as the decoder gave them, by which frames are found again; differs from
            `pts` only where the file repeats or lacks a time.
        keyframe: decoding can start here.
        scene_start: first frame of a scene; the first frame always is.
        end_pts: ticks at which the last frame ends.
        video: facts of the picture stream.
        audio: facts of the sound stream, or None.
        metadata: tags of the container.
        timecode: label of the first frame, as SMPTE writes it, or empty.
        still: a single picture, not a video.
        notes: what was changed or left out in reading, for the user.
        part: where in the file the frames are; None: all of them are here.
    """

    pts: Int64[np.ndarray, " frame"]
    decoded_pts: Int64[np.ndarray, " frame"]
    keyframe: Bool[np.ndarray, " frame"]
    scene_start: Bool[np.ndarray, " frame"]
    end_pts: int
    video: VideoFacts
    audio: AudioFacts | None
    metadata: dict[str, str]
    timecode: str
    still: bool
    notes: list[str]
    part: Part | None = None

    def __post_init__(self) -> None:
        frames = len(self.pts)
        for name, dtype in _ARRAYS.items():
            array = getattr(self, name)
            if array.shape != (frames,) or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {dtype} of {frames} frames, got {array.dtype} {array.shape}"
                )
        if not frames or np.any(np.diff(self.pts) <= 0) or self.end_pts <= self.pts[-1]:
            raise ValueError("pts must be of at least one frame and increase up to end_pts")

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        video = self.video
        return (
            f"Timeline({len(self)} frames, {video.width}x{video.height} {video.frame_format}, "
            f"{float(video.rate):.3f} fps, {self.duration_seconds:.3f} s)"
        )

    @property
    def time_base(self) -> Fraction:
        """Seconds of one tick."""
        return self.video.time_base

    @property
    def seconds(self) -> Float64[np.ndarray, " frame"]:
        """Presentation times in seconds, from what is played first on."""
        return self.pts * float(self.time_base)

    @property
    def file_seconds(self) -> Float64[np.ndarray, " frame"]:
        """Presentation times in seconds, from what the file plays first on."""
        return self.seconds + self.begin_seconds

    @property
    def begin_seconds(self) -> float:
        """Time of the file that is time 0 here."""
        return float(self.part.begin * self.time_base) if self.part else 0.0

    @property
    def start_seconds(self) -> float:
        """Time of the first frame."""
        return float(self.pts[0] * self.time_base)

    @property
    def duration_seconds(self) -> float:
        """From the first frame's start to the last frame's end."""
        return float((self.end_pts - int(self.pts[0])) * self.time_base)

    def cut(self, start: int, stop: int, *, since_label: float | None = None) -> "Timeline":
        """The frames [start, stop) as a timeline of their own, which begins at time 0.

        Their progressive pictures, where they are interlaced, are made without frames beyond.

        Args:
            start: First frame.
            stop: One past the last.
            since_label: From the frame that `timecode` labels to the first [s]; None: the first
                frame of this timeline is labelled.
        """
        rows, ends = slice(start, stop), np.append(self.pts, self.end_pts)
        first = int(self.pts[start])
        keys = self.decoded_pts[: start + 1][self.keyframe[: start + 1]].tolist()
        scenes = self.scene_start[rows].copy()
        scenes[0] = True
        if since_label is None:
            since_label = float((first - self.pts[0]) * self.time_base)
        label = advanced(self.timecode, since_label, self.video.rate)
        return replace(
            self,
            pts=self.pts[rows] - first,
            decoded_pts=self.decoded_pts[rows],
            keyframe=self.keyframe[rows],
            scene_start=scenes,
            end_pts=int(ends[stop]) - first,
            timecode=label,
            part=Part(first, keys[-1] if keys else None),
        )

    def to_record(self) -> tuple[dict[str, Shaped[np.ndarray, " frame"]], dict[str, Any]]:
        """Split into arrays and attributes that JSON can hold."""
        attributes = {
            "end_pts": self.end_pts,
            "video": self.video.to_dict(),
            "audio": self.audio.to_dict() if self.audio else None,
            "metadata": self.metadata,
            "timecode": self.timecode,
            "still": self.still,
            "notes": self.notes,
            "part": asdict(self.part) if self.part else None,
        }
        return {name: getattr(self, name) for name in _ARRAYS}, attributes

    @classmethod
    def from_record(
        cls, arrays: dict[str, Shaped[np.ndarray, " frame"]], attributes: dict[str, Any]
    ) -> "Timeline":
        """Rebuild from `to_record`."""
        audio = attributes["audio"]
        columns: dict[str, Any] = {
            name: np.asarray(arrays[name], dtype=dtype) for name, dtype in _ARRAYS.items()
        }
        return cls(
            **columns,
            end_pts=int(attributes["end_pts"]),
            video=VideoFacts.from_dict(attributes["video"]),
            audio=AudioFacts.from_dict(audio) if audio else None,
            metadata=dict(attributes["metadata"]),
            timecode=str(attributes["timecode"]),
            still=bool(attributes["still"]),
            notes=list(attributes["notes"]),
            part=Part(**attributes["part"]) if attributes["part"] else None,
        )
