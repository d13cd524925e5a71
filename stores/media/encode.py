"""Encode frames to closed segments of compressed packets that are joined without re-encoding."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from jaxtyping import Bool, Int64, UInt8

from stores.errors import MediaError
from stores.media.facts import VideoFacts
from stores.media.fields import flagged, order_code
from stores.media.frame import Frame
from stores.media.settings import EncodeSettings

REORDER_FRAMES = 2
"""Frames by which decoding runs ahead of showing: B-frames that refer to B-frames, one level."""

_THREADS = 2  # x264's and x265's bytes depend on it, so it is no setting
_ENCODERS = {"h264": "libx264", "hevc": "libx265"}


@dataclass(frozen=True)
class Segment:
    """Compressed frames that decode without any others.

    Attributes:
        payload: the packets one after the other, in decoding order.
        size: bytes of each packet.
        order: place of each packet's frame in the segment as shown, from 0.
        keyframe: decoding can start here; the first always is one.
        extradata: parameter sets of the encoder, the same in all segments that are joined.
        codec: `h264` or `hevc`.
    """

    payload: UInt8[np.ndarray, " byte"]
    size: Int64[np.ndarray, " packet"]
    order: Int64[np.ndarray, " packet"]
    keyframe: Bool[np.ndarray, " packet"]
    extradata: bytes
    codec: str

    def __post_init__(self) -> None:
        packets = len(self.size)
        if not packets or len(self.order) != packets or len(self.keyframe) != packets:
            raise ValueError("a segment needs one size, order and keyframe flag for each packet")
        if int(self.size.sum()) != len(self.payload) or not self.keyframe[0]:
            raise ValueError("a segment's packets must fill its payload and start with a keyframe")
        place = np.arange(packets)
        if np.any(np.sort(self.order) != place) or np.any(place - self.order > REORDER_FRAMES):
            raise ValueError(f"a segment's frames must be reordered by at most {REORDER_FRAMES}")

    def __len__(self) -> int:
        return len(self.size)

    def __repr__(self) -> str:
        return f"Segment({len(self)} frames, {len(self.payload)} bytes, {self.codec})"


def encode_segment(frames: Iterable[Frame], video: VideoFacts, settings: EncodeSettings) -> Segment:
    """Encode frames to one closed segment.

    The bytes depend on nothing but the frames and the arguments. The number of threads is fixed,
    as it would change them; encode several segments at once to use more cores.

    Args:
        frames: In the order in which they are shown; at least one.
        video: Facts of the stream they come from: size, colours, rate.
        settings: How to compress.

    Returns:
        The segment.

    Raises:
        MediaError: The encoder refuses the frames.
    """
    name = encoder_name(video, settings)
    created = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    context = encoder_context(created, video, settings)
    interlaced = keeps_fields(video, settings)
    natives = (frame.native(progressive=not interlaced) for frame in frames)
    packets: list[av.Packet] = []
    count = 0
    try:
        for native in flagged(natives, video.field_order) if interlaced else natives:
            native.pts, native.time_base = count, context.time_base
            native.pict_type = 0  # the decoder's choice of frame type would be repeated
            packets += context.encode(native)
            count += 1
        packets += context.encode(None)
    except av.error.FFmpegError as error:
        raise MediaError(
            f"frame {count} of a segment of {video.width}x{video.height} {video.frame_format} "
            f"can't be encoded as {codec_of(video, settings)} ({error.strerror}); choose another "
            "codec"
        ) from error
    if not count:
        raise ValueError("a segment needs at least one frame")
    return Segment(
        payload=np.frombuffer(b"".join(bytes(packet) for packet in packets), dtype=np.uint8),
        size=np.array([packet.size for packet in packets], dtype=np.int64),
        order=np.array([packet.pts for packet in packets], dtype=np.int64),
        keyframe=np.array([packet.is_keyframe for packet in packets], dtype=np.bool_),
        extradata=bytes(context.extradata or b""),
        codec=codec_of(video, settings),
    )


def codec_of(video: VideoFacts, settings: EncodeSettings) -> str:
    """The codec that the settings mean for a video: few players show HDR that is H.264."""
    if settings.codec == "auto":
        return "hevc" if video.hdr else "h264"
    return settings.codec


def keeps_fields(video: VideoFacts, settings: EncodeSettings) -> bool:
    """Whether interlaced pictures are encoded as such; else each frame as its first moment.

    HEVC has no coding of them that players know, H.264 wants heights that fit, and in a picture
    that is turned by a quarter fields are columns.
    """
    rows = 4 if "420" in video.frame_format else 2
    fits = video.upright_as_stored and video.height % rows == 0
    return video.interlaced and fits and codec_of(video, settings) == "h264"


def encoder_name(video: VideoFacts, settings: EncodeSettings) -> str:
    """Name of the encoder in the libraries."""
    return _ENCODERS[codec_of(video, settings)]


def encoder_context(
    context: VideoCodecContext, video: VideoFacts, settings: EncodeSettings
) -> VideoCodecContext:
    """Set an encoder up for a stream's size, colours and rate; returns the same context."""
    rate = video.rate.limit_denominator(1001)
    context.width, context.height = video.width, video.height
    context.pix_fmt = video.frame_format
    context.framerate = rate
    context.time_base = 1 / rate
    context.sample_aspect_ratio = Fraction(video.sample_aspect_num, video.sample_aspect_den)
    context.color_range = video.color_range
    context.color_primaries = video.color_primaries
    context.color_trc = video.color_transfer
    context.colorspace = video.color_matrix
    context.thread_count = _THREADS
    context.gop_size = max(1, round(settings.keyframe_seconds * rate))
    context.flags |= Flags.global_header | Flags.closed_gop
    options = {"preset": settings.preset, "crf": f"{settings.crf:g}"}
    if codec_of(video, settings) == "hevc":
        options["x265-params"] = "log-level=none:open-gop=0:frame-threads=2:repeat-headers=0"
        if video.mastering:
            options["x265-params"] += f":{video.mastering}"
    else:
        options["x264-params"] = "open-gop=0:sliced-threads=0:sync-lookahead=0:b-pyramid=normal"
        if keeps_fields(video, settings):
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            context.field_order = order_code(video.field_order)
            options["x264-params"] += f":{video.field_order}=1"
    context.options = options
    return context
