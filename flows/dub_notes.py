"""What a user should know of a dub that ended well, and what to try if that was not meant."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.cues.lines import Spoken
from flows.cues.report import over_notes
from flows.cues.sound import Heard
from flows.gallery import MISSED
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.media.audio import audio_blocks
from stores.media.encode import codec_of, keeps_fields
from stores.media.facts import VideoFacts
from stores.media.settings import EncodeSettings
from stores.media.tracks import default_track, find_track, listed, sound_tracks
from tasks.result.output_frames import Length
from tasks.result.settings import SyncSettings
from tasks.source.timeline import load_timeline

_HELD_SECONDS = 0.2
"""A picture that is shown for longer than this is called held."""

CUT_SECONDS = 0.05
"""Speech that lacks less than this at its end is not called cut."""

SILENT = 0.001
"""Largest sample, of full scale, of what is called silence: -60 dB."""

_CANCELLED = 0.1
"""A mix whose largest sample is less than this share of its channels' has cancelled them out."""

_SAMPLES_AT_ONCE = 1 << 22


def dub_notes(
    settings: DubSettings,
    *,
    clip: Artifact,
    heard: Sequence[Heard],
    lines: Sequence[Spoken],
    length: Length,
    faces: Artifact,
    result: Artifact,
    dubbed_frames: int,
) -> list[str]:
    """Notes on a dub that did less than its user may think.

    Args:
        settings: As given.
        clip: Of `tasks.source.timeline`.
        heard: The speech files.
        lines: The cues.
        length: Of the output.
        faces: Of `tasks.source.faces`.
        result: Of `tasks.result.dubbed`.
        dubbed_frames: Frames in which the mouth was made anew.
    """
    timeline = load_timeline(clip)
    own_track = find_track(settings.video, settings.source_track)
    notes = [
        *timeline.notes,
        *picture_notes(timeline.video, settings.encode),
        *(
            note
            for each in heard
            for note in track_notes(each.path, each.track, "the speech is", "--audio-track")
        ),
        *(
            track_notes(settings.video, own_track, "its own speech is", "--source-track")
            if clip.attributes["audio"]
            else []
        ),
        *(
            note
            for each in heard
            for note in speech_notes(each.path, each.waveform, track=each.track)
        ),
        *length_notes(length, settings.sync),
        *over_notes(lines),
    ]
    if timeline.timecode and not result.attributes["timecode"]:
        notes.append(
            f"the timecode {timeline.timecode!r} is none of {float(timeline.video.rate):.3f} "
            "frames per second and was left out"
        )
    if not dubbed_frames:
        notes.append(_untouched(settings, any_face=bool(faces.read("score").any())))
    return notes


def picture_notes(video: VideoFacts, encode: EncodeSettings) -> list[str]:
    """What becomes of a picture that not every output can be, or not every player shows."""
    notes = []
    codec = codec_of(video, encode)
    if keeps_fields(video, encode):
        notes.append(
            "the picture is interlaced: faces were found and mouths made in deinterlaced frames, "
            "and the output is interlaced as the source is; new mouths move once a frame"
        )
    elif video.interlaced:
        why = "--codec h264 keeps it interlaced" if codec == "hevc" else "H.264 can't hold it so"
        notes.append(
            "the picture is interlaced and the output is not: each frame is shown as of its first "
            f"field, at the same {float(video.rate):.2f} frames per second; {why}"
        )
    if video.bit_depth > 10:
        notes.append(f"the picture has {video.bit_depth} bits, of which the output keeps 10")
    if video.hdr and codec == "hevc":
        notes.append(
            "the picture is HDR and is written as HEVC, as few players show HDR in H.264; "
            "the colour tags are kept, dynamic metadata (HDR10+, Dolby Vision) is not"
        )
    elif codec == "h264" and video.frame_format != "yuv420p":
        bits = 10 if video.frame_format.endswith("10le") else 8
        layout = ":".join(video.frame_format[3:6])
        notes.append(
            f"the output is H.264 of {bits} bits and {layout}, as the source, which is fit for "
            "editing, but which browsers and many players can't show"
            + ("; --codec hevc makes what more of them can" if layout == "4:2:0" else "")
        )
    return notes


def length_notes(length: Length, sync: SyncSettings) -> list[str]:
    """Whether the output begins later than was asked, and whether the end of the speech is lost."""
    notes = []
    if length.from_seconds - (sync.start_seconds or length.from_seconds) > _HELD_SECONDS:
        notes.append(
            f"at --start {sync.start_seconds:g} s a picture is shown that began before: the output "
            f"begins with the next one, at {length.from_seconds:.2f} s"
        )
    lost = length.speech_seconds - length.seconds
    if lost < CUT_SECONDS:
        return notes
    more = "--sync-mode loop or bounce repeats the picture for as long as the speech lasts"
    if sync.end_seconds is not None:
        asked = sync.end_seconds - (sync.start_seconds or 0)
        if length.seconds > asked - CUT_SECONDS:  # else the file ends before
            more = f"a later --end than {sync.end_seconds:g} shows more of the picture"
    return [
        *notes,
        f"the speech lasts {length.speech_seconds:.2f} s, the picture {length.seconds:.2f} s: "
        f"the last {lost:.2f} s of the speech were cut; {more}",
    ]


def track_notes(file: Path, track: int | None, what: str, option: str) -> list[str]:
    """Which sound track was taken, where there is a choice."""
    tracks = sound_tracks(file)
    if len(tracks) < 2:
        return []
    taken = track or default_track(tracks).number
    return [
        f"{file.name} has {len(tracks)} sound tracks, {listed(tracks)}: {what} taken from number "
        f"{taken}; {option} takes another"
    ]


def speech_notes(file: Path, speech: Artifact, *, track: int | None = None) -> list[str]:
    """What was skipped in the speech, and whether nothing was heard, and why."""
    notes = [f"{file.name}: {text}" for text in speech.attributes["notes"]]
    return notes + _silence_notes(file, speech, track)


def _silence_notes(file: Path, speech: Artifact, track: int | None) -> list[str]:
    heard = _largest(
        speech.read("sample", start, start + _SAMPLES_AT_ONCE)
        for start in range(0, speech.sizes["sample"], _SAMPLES_AT_ONCE)
    )
    if heard >= SILENT / _CANCELLED:
        return []
    in_file = _largest(audio_blocks(file, track=track))
    if in_file >= SILENT and heard < _CANCELLED * in_file:
        return [
            f"the channels of {file.name} cancel each other out, so that hardly anything was heard "
            "and the mouth hardly moves: give one of them alone, as `ffmpeg -i IN -af "
            '"pan=mono|c0=c0" OUT.wav` makes it'
        ]
    if heard < SILENT:
        return [
            f"{file.name} is silent, so that the mouth keeps still: is it the right file, and "
            "does its sound track that was taken hold the speech?"
        ]
    return []


def _largest(blocks: Iterable[NDArray[np.float32]]) -> float:
    """The largest absolute sample."""
    return max((float(np.abs(block).max()) for block in blocks if block.size), default=0.0)


def _untouched(settings: DubSettings, *, any_face: bool) -> str:
    other = (
        "" if settings.detector == "s3fd" else ", or try --set detector=s3fd (needs its weights)"
    )
    if any_face:
        return (
            "no mouth was made anew, the picture passed through as it was: the face is hidden, "
            "turned away or seen too briefly in all frames; choose another with --face, another "
            f"part with --start and --end{other}"
        )
    return f"no face was found in any frame, the picture passed through as it was: {MISSED}{other}"
