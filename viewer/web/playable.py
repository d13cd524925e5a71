"""Whether browsers play a file as it is."""

from pathlib import Path

import av

from stores.media.facts import VideoFacts
from stores.media.source import open_source, picture_streams, sound_streams

_SOUNDS = {"mp4": {"aac": "mp4a.40.2", "mp3": "mp3", "flac": "flac"}, "webm": {"opus": "opus"}}
_PLANES = {"yuv420p", "yuvj420p"}
_HIGH_PROFILE = "avc1.640033"
"""Of H.264, at a level that holds every size that a browser shows."""


def playable_type(path: Path) -> str | None:
    """Media type and codecs, as `canPlayType` takes them; None if a proxy is to be made.

    Raises:
        MediaError: the file can't be opened.
    """
    with open_source(path) as container:
        names = container.format.name.split(",")
        kind = "mp4" if "mp4" in names else "webm" if "webm" in names else None
        pictures, sounds = picture_streams(container), sound_streams(container)
        # Browsers start at the file's own time 0, this project at what is played first.
        if kind is None or len(pictures) != 1 or (container.start_time or 0) > 0:
            return None
        context = pictures[0].codec_context
        if context is None or context.pix_fmt not in _PLANES or context.height > 2160:
            return None
        codecs = [_picture_codec(kind, context)]
        codecs += [_SOUNDS[kind].get(sound.codec_context.name) for sound in sounds[:1]]
        known = [codec for codec in codecs if codec is not None]
        if len(known) < len(codecs):
            return None
        return f'video/{kind}; codecs="{", ".join(known)}"'


def dub_type(video: VideoFacts, codec: str, sound: str, suffix: str) -> str | None:
    """As `playable_type`, of a dub that is not looked into, for it may lie far away.

    Args:
        video: Facts of its picture.
        codec: Of the picture, as the composite has it.
        sound: Codec of the sound.
        suffix: Of the file.
    """
    plays = codec == "h264" and video.pix_fmt in _PLANES and not video.interlaced
    known = _SOUNDS["mp4"].get(sound)
    if not plays or known is None or suffix not in (".mp4", ".m4v", ".mov"):
        return None
    return f'video/mp4; codecs="{_HIGH_PROFILE}, {known}"'


def _picture_codec(kind: str, context: "av.VideoCodecContext") -> str | None:
    setup = bytes(context.extradata or b"")
    if kind == "mp4" and context.name == "h264" and len(setup) > 4 and setup[0] == 1:
        return f"avc1.{setup[1:4].hex()}"  # profile, constraints and level of the avcC box
    if kind == "webm" and context.name in ("vp8", "libvpx"):
        return "vp8"
    return "vp9" if kind == "webm" and context.name in ("vp9", "libvpx-vp9") else None
