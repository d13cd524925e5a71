"""Segments and sound into the dubbed file."""

from pathlib import Path

from models.marks.sound import marked_sound
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.media.audio import audio_blocks, audio_facts, exact_length, mixed
from stores.media.mux import Sound, mux
from stores.media.settings import EncodeSettings, MuxSettings
from stores.media.timecode import advanced
from tasks.engine.stage import Made, stage
from tasks.result.composite import load_segments
from tasks.source.timeline import load_timeline

DUBBED = Schema("dubbed", {}, {}, "The dubbed video as a plain file beside this metadata.")


@stage(DUBBED, version=5)
def dubbed(
    composite: Artifact,
    timeline: Artifact,
    *,
    output_frames: Artifact,
    end_pts: int,
    speech: Source,
    speech_track: int | None,
    background: Source | None,
    background_track: int | None,
    background_db: float | None,
    background_from: float,
    encode: EncodeSettings,
    sound: MuxSettings,
    suffix: str,
    mark: int | None,
    folder: Path,
) -> Made:
    """Join the segments without re-encoding, and compress the sound at its own rate.

    Args:
        end_pts: Where the last frame and the sound end [ticks].
        speech_track: Of `find_track`.
        background: Whose own sound is mixed in, or None.
        background_track: Of `find_track`.
        background_db: At which gain [dB].
        background_from: From which of its seconds on.
        suffix: Of the output file; names the container.
        mark: Number that goes into the sound, as `models.marks.sound` describes it, or None.
    """
    clip, facts = load_timeline(timeline), audio_facts(speech.path, track=speech_track)
    samples = round(end_pts * clip.time_base * facts.rate)
    heard = audio_blocks(speech.path, track=speech_track)
    blocks = exact_length(heard, samples, channels=facts.channels)
    if background is not None and background_db is not None:
        own = audio_blocks(
            background.path, rate=facts.rate, start=background_from, track=background_track
        )
        blocks = mixed(blocks, own, gain=10 ** (background_db / 20))
    if mark is not None:
        blocks = marked_sound(blocks, rate=facts.rate, payload=mark)
    name = f"dubbed{suffix}"
    pts, shown = output_frames.read("pts"), int(output_frames.read("source_frame", 0, 1)[0])
    start = float((clip.pts[shown] - clip.pts[0]) * clip.time_base)
    timecode = advanced(clip.timecode, start, clip.video.rate)
    mux(
        folder / name,
        load_segments(composite),
        video=clip.video,
        pts=pts,
        end_pts=end_pts,
        encode=encode,
        settings=sound,
        sound=Sound(blocks, facts.rate, facts.layout, facts.language),
        metadata=clip.metadata | ({"timecode": timecode} if timecode else {}),
    )
    return Made(
        attributes={
            "file": name,
            "frames": output_frames.sizes["frame"],
            "samples": samples,
            "rate_hz": facts.rate,
            "timecode": timecode,
            "mark": mark,
        }
    )
