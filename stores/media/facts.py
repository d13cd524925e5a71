"""Facts about the streams of a video and of its sound, as plain frozen records.

Colour fields hold the code points of ITU-T H.273 (2 = unspecified); the range is 0 unspecified,
1 limited ("studio"), 2 full.
"""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any, TypeVar

import av

_FULL_RANGE_TWINS = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}


def frame_format(pix_fmt: str, width: int, height: int, *, transposed: bool) -> str:
    """The layout in which frames of a pixel format are handed out, pasted into and encoded.

    That is the nearest of yuv420p, yuv422p, yuv444p, and of the same with 10 bits (`10le`).

    A subsampled picture of odd size, and 4:2:2 turned by a quarter, become 4:4:4: no codec keeps
    their size otherwise.

    Args:
        pix_fmt: Name of the decoder's pixel format.
        width: px.
        height: px.
        transposed: Whether upright frames have rows and columns exchanged.
    """
    name = _FULL_RANGE_TWINS.get(pix_fmt, pix_fmt)
    layout = av.VideoFormat(name, 64, 64)
    deep = "10le" if max(component.bits for component in layout.components) > 8 else ""
    if layout.is_rgb or layout.has_palette:
        return f"yuv444p{deep}"
    if len(layout.components) < 3:
        chroma_width = chroma_height = 32
    else:
        chroma_width, chroma_height = layout.components[1].width, layout.components[1].height
    if chroma_height == 64 and chroma_width == 32 and width % 2 == 0 and not transposed:
        return f"yuv422p{deep}"
    if chroma_height <= 32 and chroma_width <= 32 and width % 2 == 0 and height % 2 == 0:
        return f"yuv420p{deep}"
    return f"yuv444p{deep}"


_Made = TypeVar("_Made", bound="_Record")


class _Record:
    """Conversion of a frozen dataclass to and from a dict that JSON can hold."""

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as a dict of JSON types."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls: type[_Made], values: dict[str, Any]) -> _Made:
        """Rebuild from `to_dict`; unknown and missing keys are errors."""
        names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if names != set(values):
            raise ValueError(
                f"{cls.__name__} needs exactly the keys {sorted(names)}, got {sorted(values)}; "
                "the record was written by another version"
            )
        return cls(**values)


@dataclass(frozen=True)
class VideoFacts(_Record):
    """A video stream, by its decoded frames.

    Attributes:
        time_base_num: numerator of the seconds that one tick lasts.
        time_base_den: denominator of the seconds that one tick lasts.
        width: px, upright.
        height: px, upright.
        transposed: rows and columns of the stored picture are exchanged to make it upright ...
        flipped_x: ... then left and right ...
        flipped_y: ... then top and bottom.
        sample_aspect_num: width of a pixel, upright.
        sample_aspect_den: height of a pixel, upright.
        pix_fmt: pixel format of the decoder.
        frame_format: as of the function `frame_format`, the layout of `Frame`.
        bit_depth: bits of a component in the source.
        color_range: 0 unspecified, 1 limited, 2 full.
        color_primaries: H.273 code point.
        color_transfer: H.273 code point.
        color_matrix: H.273 code point.
        mastering: mastering display and light levels of HDR, as x265 takes them, or empty.
        codec: name of the decoder.
        rate_num: average frames, ...
        rate_den: ... in so many seconds.
        field_order: which field of interlaced frames is shown first, `tff` or `bff`; else
            `progressive`.
        scaled: size or pixel format change on the way; frames are brought to those of the first.
        language: ISO 639 code of the stream, or empty.
    """

    time_base_num: int
    time_base_den: int
    width: int
    height: int
    transposed: bool
    flipped_x: bool
    flipped_y: bool
    sample_aspect_num: int
    sample_aspect_den: int
    pix_fmt: str
    frame_format: str
    bit_depth: int
    color_range: int
    color_primaries: int
    color_transfer: int
    color_matrix: int
    mastering: str
    codec: str
    rate_num: int
    rate_den: int
    field_order: str
    scaled: bool
    language: str

    @property
    def time_base(self) -> Fraction:
        """Seconds of one tick."""
        return Fraction(self.time_base_num, self.time_base_den)

    @property
    def rate(self) -> Fraction:
        """Average frames per second."""
        return Fraction(self.rate_num, self.rate_den)

    @property
    def rotation(self) -> int:
        """Degrees clockwise from the stored to the upright picture: 0, 90, 180 or 270."""
        if self.transposed:
            return 90 if self.flipped_x else 270
        return 180 if self.flipped_y else 0

    @property
    def upright_as_stored(self) -> bool:
        """Whether the stored picture is upright already."""
        return not (self.transposed or self.flipped_x or self.flipped_y)

    @property
    def interlaced(self) -> bool:
        """Whether frames hold two fields, shot one after the other."""
        return self.field_order != "progressive"

    @property
    def hdr(self) -> bool:
        """Whether brightness follows PQ or HLG."""
        return self.color_transfer in (16, 18)

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height [px] as decoded."""
        return (self.height, self.width) if self.transposed else (self.width, self.height)

    @property
    def full_range(self) -> bool:
        """Whether samples use all codes from 0 up."""
        return self.color_range == 2

    @property
    def matrix_weights(self) -> tuple[float, float]:
        """Luma weights (red, blue) of the colour matrix; by size where it is unspecified."""
        return luma_weights(self.color_matrix, self.width, self.height)


def luma_weights(color_matrix: int, width: int, height: int) -> tuple[float, float]:
    """Give the luma weights (red, blue) of an H.273 colour matrix.

    Unspecified follows the habit of players: BT.709 from 1280 px wide or above 576 px high,
    BT.601 below.
    """
    known = {
        1: (0.2126, 0.0722),
        4: (0.30, 0.11),
        5: (0.299, 0.114),
        6: (0.299, 0.114),
        7: (0.212, 0.087),
        9: (0.2627, 0.0593),
        10: (0.2627, 0.0593),
    }
    large = max(width, height) >= 1280 or min(width, height) > 576
    return known.get(color_matrix, known[1] if large else known[6])


@dataclass(frozen=True)
class AudioFacts(_Record):
    """A sound stream, by its header.

    Attributes:
        codec: name of the decoder.
        rate: samples per second of one channel.
        channels: number of channels.
        layout: name of the channel layout, such as `stereo`.
        seconds: length by the header; 0 where it says nothing.
        language: ISO 639 code, or empty.
    """

    codec: str
    rate: int
    channels: int
    layout: str
    seconds: float
    language: str
