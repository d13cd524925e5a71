"""Facts of a stream: what its first frame says, else what its header declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stores.media.facts import AudioFacts, VideoFacts, frame_format
from stores.media.fields import PROGRESSIVE

_UNSPECIFIED = 2


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """How a picture is to be turned: (transposed, flipped_x, flipped_y), in that order.

    Angles other than quarter turns are taken as none, as players do.
    """
    a, b, c, d = _display_matrix(frame)
    if a and d and not b and not c:
        return False, a < 0, d < 0
    if b and c and not a and not d:
        return True, c < 0, b < 0
    return False, False, False


def _side_data(frame: VideoFrame, kind: SideDataType) -> bytes | None:
    """What comes with a frame; None where PyAV can't tell, empty where there is none."""
    try:
        return bytes(cast(Mapping[SideDataType, Buffer], frame.side_data).get(kind, b""))
    except ValueError:
        # A sort that it has no name for, such as EXIF; it then gives none at all
        # (findings/pyav_exif_hides_the_display_matrix.sh).
        return None


def mastering_of(frame: VideoFrame) -> str:
    """The mastering display and light levels of an HDR frame, as x265 takes them; else empty."""
    told = []
    display = _side_data(frame, SideDataType.MASTERING_DISPLAY_METADATA) or b""
    if len(display) >= 88 and all(np.frombuffer(display, np.int32)[20:22]):
        pairs = np.frombuffer(display, np.int32)[:20].reshape(10, 2).astype(float)
        values = pairs[:, 0] / np.maximum(pairs[:, 1], 1)
        # Chromaticities of red, green, blue and white in 1/50000, light in 1/10000 cd/m².
        x, y = np.rint(values[:8].reshape(4, 2).T * 50000).astype(int)
        least, most = np.rint(values[8:] * 10000).astype(int)
        places = (("G", 1), ("B", 2), ("R", 0), ("WP", 3))
        points = "".join(f"{name}({x[place]},{y[place]})" for name, place in places)
        told.append(f"master-display={points}L({most},{least})")
    light = _side_data(frame, SideDataType.CONTENT_LIGHT_LEVEL) or b""
    if len(light) >= 8:
        most, mean = np.frombuffer(light, np.uint32)[:2].tolist()
        told.append(f"max-cll={most},{mean}")
    return ":".join(told)


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The linear part of the display matrix, row by row; (1, 0, 0, 1) for none."""
    data = _side_data(frame, SideDataType.DISPLAYMATRIX)
    if data is None:
        turn = np.deg2rad(frame.rotation)  # counter-clockwise; mirrors can't be told from it
        cosine, sine = round(float(np.cos(turn))), round(float(np.sin(turn)))
        return cosine, -sine, sine, cosine
    if len(data) < 36:
        return 1, 0, 0, 1
    matrix = np.frombuffer(data, dtype=np.int32)[:9].reshape(3, 3)
    a, b, c, d = (round(int(v) / 65536) for v in matrix[:2, :2].ravel())
    return a, b, c, d


@dataclass(frozen=True)
class ColorTags:
    """Code points of H.273, and the range, as a header declares them; see `VideoFacts`."""

    range: int = 0
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2

    @classmethod
    def declared(cls, stream: VideoStream) -> "ColorTags":
        """Read them before anything is decoded: decoders put what frames say in their place."""
        # Even where they say nothing: findings/prores_decoder_forgets_the_files_colours.sh.
        context = stream.codec_context
        tags = (context.color_range, context.color_primaries, context.color_trc, context.colorspace)
        return cls(*map(int, tags))


def video_facts(
    frame: VideoFrame,
    stream: VideoStream,
    time_base: Fraction,
    rate: Fraction,
    declared: ColorTags,
) -> VideoFacts:
    """Gather the facts of a stream: what the first frame says, else what the header declares."""
    transposed, flipped_x, flipped_y = orientation(frame)
    width, height = (frame.height, frame.width) if transposed else (frame.width, frame.height)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if transposed:
        aspect = 1 / aspect
    name = frame.format.name
    color_range = int(frame.color_range) or declared.range
    full = name.startswith("yuvj") or color_range == 2
    target = frame_format(name, width, height, transposed=transposed)
    primaries, transfer, matrix = (
        header if said == _UNSPECIFIED else int(said)
        for said, header in (
            (frame.color_primaries, declared.primaries),
            (frame.color_trc, declared.transfer),
            (frame.colorspace, declared.matrix),
        )
    )
    color_range = 2 if full else color_range
    if av.VideoFormat(name).is_rgb or frame.format.has_palette:
        matrix, color_range = 1, 1
    return VideoFacts(
        time_base_num=time_base.numerator,
        time_base_den=time_base.denominator,
        width=width,
        height=height,
        transposed=transposed,
        flipped_x=flipped_x,
        flipped_y=flipped_y,
        sample_aspect_num=aspect.numerator,
        sample_aspect_den=aspect.denominator,
        pix_fmt=name,
        frame_format=target,
        bit_depth=max(component.bits for component in frame.format.components),
        color_range=color_range,
        color_primaries=primaries,
        color_transfer=transfer,
        color_matrix=matrix,
        mastering=mastering_of(frame),
        codec=stream.codec_context.codec.name,
        rate_num=rate.numerator,
        rate_den=rate.denominator,
        field_order=PROGRESSIVE,
        scaled=False,
        language=stream.metadata.get("language", "")[:16].replace("und", ""),
    )


def audio_facts_of(stream: AudioStream) -> AudioFacts:
    """Gather a sound stream's facts from its header."""
    context = stream.codec_context
    seconds = (
        float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    )
    return AudioFacts(
        codec=context.codec.name if context is not None else "unknown",
        rate=int(context.sample_rate) if context is not None else 0,
        channels=int(context.layout.nb_channels) if context is not None else 0,
        layout=layout_name(context) if context is not None else "",
        seconds=seconds,
        language=stream.metadata.get("language", "")[:16].replace("und", ""),
    )


def layout_name(context: AudioCodecContext) -> str:
    """Name a channel layout; the usual one of so many channels where the file names none."""
    layout = context.layout
    usual = dict(enumerate(("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1"), start=1))
    unnamed = layout.name.endswith("channels")
    return usual.get(layout.nb_channels, layout.name) if unnamed else layout.name
