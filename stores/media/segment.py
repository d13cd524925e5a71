"""Decode frames of a compressed segment, as they come out of the file that it is joined to."""

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from stores.errors import MediaError
from stores.media.encode import Segment, keeps_fields
from stores.media.facts import VideoFacts
from stores.media.fields import PROGRESSIVE
from stores.media.read import MARKS_UNUSED
from stores.media.settings import EncodeSettings

_MAX_THREADS = 4


def encoded_facts(video: VideoFacts, settings: EncodeSettings) -> VideoFacts:
    """Facts of the pictures that `encode_segment` makes of a video: upright, of one format."""
    return replace(
        video,
        transposed=False,
        flipped_x=False,
        flipped_y=False,
        scaled=False,
        pix_fmt=video.frame_format,
        field_order=video.field_order if keeps_fields(video, settings) else PROGRESSIVE,
    )


def segment_frames(segment: Segment, start: int) -> Iterator[VideoFrame]:
    """Decode from frame `start` of the segment on to its end, in the order of showing.

    Raises:
        MediaError: The decoder refuses the bytes.
    """
    created = av.CodecContext.create(segment.codec, "r")
    context = cast(VideoCodecContext, created)
    context.extradata = segment.extradata
    context.thread_type = "AUTO"
    context.thread_count = min(os.cpu_count() or 1, _MAX_THREADS)
    keys = np.flatnonzero(segment.keyframe & (segment.order <= start))
    ends = np.cumsum(segment.size)
    try:
        for place in (*range(int(keys[-1]), len(segment)), None):
            packet = None
            if place is not None:
                end = int(ends[place])
                packet = av.Packet(segment.payload[end - int(segment.size[place]) : end].tobytes())
                packet.pts = int(segment.order[place])
                packet.time_base = Fraction(1, 1)
                if segment.codec in MARKS_UNUSED:
                    context.skip_frame = "NONREF" if packet.pts < start else "DEFAULT"
            for frame in context.decode(packet):
                if frame.pts is not None and frame.pts >= start:
                    yield frame
    except av.error.FFmpegError as error:
        raise MediaError(
            f"a segment of the dubbed picture can't be decoded ({error.strerror}); "
            "`dubflow artifacts verify` says what is damaged"
        ) from error
