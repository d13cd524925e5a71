"""One frame of a video as an upright picture that can be looked at, cut from and pasted into."""

from collections.abc import Sequence
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import Float, UInt8, UInt16

from stores.media.facts import VideoFacts
from stores.media.pixels import (
    Codes,
    Mask,
    Rgb,
    blend_patch,
    carried_over,
    planes_to_rgb,
    resized,
    upsampled,
    warped,
)
from stores.media.planes import Plane, plane_views

_SHIFTS = {"420": (1, 1), "422": (1, 0), "444": (0, 0)}


@dataclass(frozen=True)
class FrameLayout:
    """What the frames of one video have in common.

    Attributes:
        facts: the video stream's facts.
        codes: what the samples mean.
        shift_x: log2 of the luma columns to a chroma column.
        shift_y: log2 of the luma rows to a chroma row.
    """

    facts: VideoFacts
    codes: Codes
    shift_x: int
    shift_y: int

    @classmethod
    def of(cls, facts: VideoFacts) -> "FrameLayout":
        """Derive the layout from a stream's facts."""
        red, blue = facts.matrix_weights
        bits = 10 if facts.frame_format.endswith("10le") else 8
        shift_x, shift_y = _SHIFTS[facts.frame_format[3:6]]
        return cls(facts, Codes(red, blue, facts.full_range, bits), shift_x, shift_y)


@dataclass(frozen=True)
class Planes:
    """A rectangle of a picture as it is stored.

    Attributes:
        x0: px, left edge.
        y0: px, upper edge.
        luma: codes.
        chroma: codes of the blue and the red difference, of fewer samples where subsampled.
    """

    x0: int
    y0: int
    luma: Plane
    chroma: UInt8[np.ndarray, "rows columns 2"] | UInt16[np.ndarray, "rows columns 2"]

    def within(self, planes: Sequence[Plane], layout: FrameLayout) -> list[Plane]:
        """Views of the same rectangle of three whole planes."""
        (h, w), (rows, columns) = self.luma.shape, self.chroma.shape[:2]
        y, x = self.y0 >> layout.shift_y, self.x0 >> layout.shift_x
        luma = planes[0][self.y0 : self.y0 + h, self.x0 : self.x0 + w]
        return [luma, *(plane[y : y + rows, x : x + columns] for plane in planes[1:])]


class Frame:
    """A decoded frame, upright, in a layout of `stores.media.facts.frame_format`.

    Attributes:
        index: number of the frame in its source, in presentation order.
        pts: ticks of the source's time base.
        seconds: presentation time.
        layout: what it has in common with the other frames of its video.
        width: px.
        height: px.
    """

    def __init__(
        self,
        native: VideoFrame,
        layout: FrameLayout,
        *,
        index: int,
        pts: int,
        progressive: VideoFrame | None = None,
    ) -> None:
        self._native = native
        self._seen = progressive or native  # what is looked at, where frames hold two fields
        self.layout = layout
        self._own = False
        self.index = index
        self.pts = pts
        self.seconds = float(pts * layout.facts.time_base)
        self.width = layout.facts.width
        self.height = layout.facts.height

    def __repr__(self) -> str:
        return f"Frame({self.index}, {self.seconds:.3f} s, {self.width}x{self.height})"

    def native(self, *, progressive: bool = False) -> VideoFrame:
        """Give the picture for an encoder; it shares this frame's memory.

        Args:
            progressive: Whether an interlaced frame is given as the picture of its first moment.
        """
        return self._seen if progressive else self._native

    def copy(self) -> "Frame":
        """Give an independent frame, for a source frame that is shown more than once."""
        native = _copied(self._native)
        seen = native if self._seen is self._native else _copied(self._seen)
        return Frame(native, self.layout, index=self.index, pts=self.pts, progressive=seen)

    def samples(self) -> bytes:
        """All samples that it holds, of which `refilled` makes the frame again."""
        pictures = [self._native] if self._seen is self._native else [self._native, self._seen]
        return b"".join(view.tobytes() for each in pictures for view in plane_views(each))

    def refilled(self, samples: bytes, *, index: int, pts: int) -> "Frame":
        """Make a frame of the same video again.

        Args:
            samples: Of `samples`.
            index: Number of the frame.
            pts: ticks.
        """
        frame, at = self.copy(), 0
        pictures = [frame._native] if frame._seen is frame._native else [frame._native, frame._seen]
        for view in (view for each in pictures for view in plane_views(each)):
            stored = np.frombuffer(samples, view.dtype, count=view.size, offset=at)
            view[...] = stored.reshape(view.shape)
            at += view.nbytes
        return Frame(frame._native, self.layout, index=index, pts=pts, progressive=frame._seen)

    def rgb(self, max_side: int | None = None) -> Rgb:
        """Convert the whole picture, scaled down first where it is larger than asked.

        Args:
            max_side: px, longest side of the result at most; None keeps the size.
        """
        longest = max(self.width, self.height)
        if max_side is None or longest <= max_side:
            return self.crop_rgb(0, 0, self.width, self.height)
        scale = max_side / longest
        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        return self.scaled_rgb(0, 0, self.width, self.height, *size)

    def crop_rgb(
        self, x0: int, y0: int, x1: int, y1: int
    ) -> UInt8[np.ndarray, "{y1}-{y0} {x1}-{x0} 3"]:
        """Convert the rectangle [x0, x1) x [y0, y1), in px, which must lie inside the picture."""
        self._check_inside(x0, y0, x1, y1)
        luma, blue, red = plane_views(self._seen)
        layout = self.layout
        chroma = [
            upsampled(
                plane,
                shift_x=layout.shift_x,
                shift_y=layout.shift_y,
                x0=x0,
                y0=y0,
                width=x1 - x0,
                height=y1 - y0,
            )
            for plane in (blue, red)
        ]
        return planes_to_rgb(luma[y0:y1, x0:x1], chroma[0], chroma[1], layout.codes)

    def planes(self, x0: int, y0: int, x1: int, y1: int) -> "Planes":
        """Copy the rectangle [x0, x1) x [y0, y1), in px, grown to whole chroma samples."""
        self._check_inside(x0, y0, x1, y1)
        across, down = 1 << self.layout.shift_x, 1 << self.layout.shift_y
        luma, blue, red = plane_views(self._seen)
        rows = slice(y0 // down, -(-y1 // down))
        columns = slice(x0 // across, -(-x1 // across))
        part = luma[
            rows.start * down : rows.stop * down, columns.start * across : columns.stop * across
        ]
        chroma = cv2.merge([blue[rows, columns], red[rows, columns]])
        return Planes(columns.start * across, rows.start * down, np.ascontiguousarray(part), chroma)

    @property
    def interlaced(self) -> bool:
        """It has two fields, beside the progressive picture that is looked at."""
        return self._seen is not self._native

    def paste(
        self, planes: "Planes", opacity: Float[np.ndarray, "height width"] | None = None
    ) -> None:
        """Put other samples in the place that these were copied from; equal ones stay bit for bit.

        Args:
            planes: New samples of the picture that is looked at.
            opacity: 0..1, how much of what was there is gone: as much goes of each field of an
                interlaced frame, of which one shows another moment. None: all.
        """
        news = (planes.luma, planes.chroma[..., 0], planes.chroma[..., 1])
        pictures = self._changeable()  # the one that is looked at comes last
        before = planes.within(plane_views(self._seen), self.layout)
        for picture in pictures:
            parts = planes.within(plane_views(picture), self.layout)
            for part, was, new in zip(parts, before, news, strict=True):
                if opacity is None or picture is self._seen:
                    part[...] = new
                else:
                    part[...] = carried_over(part, was, new, opacity, self.layout.codes)

    def scaled_rgb(self, x0: int, y0: int, x1: int, y1: int, width: int, height: int) -> Rgb:
        """Convert the rectangle [x0, x1) x [y0, y1), in px inside the picture, scaled to a size."""
        self._check_inside(x0, y0, x1, y1)
        across, down = self.layout.shift_x, self.layout.shift_y
        luma, blue, red = plane_views(self._seen)
        rows, columns = slice(y0 >> down, -(-y1 >> down)), slice(x0 >> across, -(-x1 >> across))
        parts = (luma[y0:y1, x0:x1], blue[rows, columns], red[rows, columns])
        scaled = [resized(part, width, height) for part in parts]
        return planes_to_rgb(scaled[0], scaled[1], scaled[2], self.layout.codes)

    def warped_rgb(
        self, to_frame: Float[np.ndarray, "2 3"], size: int
    ) -> UInt8[np.ndarray, "{size} {size} 3"]:
        """Convert a square that lies anywhere in the picture, averaged where it shrinks.

        Black beyond the picture. Nothing but the square is touched, whatever the picture's size.

        Args:
            to_frame: Affine, px of the square, counted from its corner, to px of the picture.
            size: Side of the square [px].
        """
        layout = self.layout
        black = (layout.codes.black, layout.codes.neutral, layout.codes.neutral)
        out = []
        for number, plane in enumerate(plane_views(self._seen)):
            across, down = (layout.shift_x, layout.shift_y) if number else (0, 0)
            matrix = np.array(to_frame, np.float64)
            # Chroma lies level with even luma columns, and between two rows.
            matrix[0] = (matrix[0] + (0, 0, 0.5 * across)) / (1 << across)
            matrix[1] /= 1 << down
            matrix[:, 2] -= 0.5  # from corners to the centres of samples
            out.append(warped(plane, matrix, size, black[number]))
        return planes_to_rgb(out[0], out[1], out[2], layout.codes)

    def paste_rgb(
        self,
        x0: int,
        y0: int,
        rgb: Rgb,
        mask: Float[np.ndarray, "height width"] | None = None,
    ) -> None:
        """Blend a patch into the picture; what the mask leaves out stays bit for bit.

        Into both fields of an interlaced frame goes what the patch changes of its progressive
        picture.

        Args:
            x0: px, left edge of the patch.
            y0: px, upper edge of the patch; the patch must lie inside the picture.
            rgb: The patch.
            mask: 0 keeps, 1 replaces; None replaces all. A chroma sample is kept if every luma
                sample that it covers is.
        """
        height, width = rgb.shape[:2]
        self._check_inside(x0, y0, x0 + width, y0 + height)
        if rgb.dtype != np.uint8 or rgb.shape[2:] != (3,):
            raise ValueError(f"a patch is uint8 (height, width, 3), got {rgb.dtype} {rgb.shape}")
        weights = np.ones((height, width), np.float32) if mask is None else np.asarray(mask)
        if weights.shape != (height, width):
            raise ValueError(f"the mask is {weights.shape}, the patch {(height, width)}")
        rows, columns = np.flatnonzero(weights.any(axis=1)), np.flatnonzero(weights.any(axis=0))
        if not len(rows):
            return
        # Only the part under the mask, out to whole chroma samples, is worked on.
        top, bottom = y0 + int(rows[0]), y0 + int(rows[-1]) + 1
        left, right = x0 + int(columns[0]), x0 + int(columns[-1]) + 1
        grid_x, grid_y = 1 << self.layout.shift_x, 1 << self.layout.shift_y
        ax0, ay0 = left - left % grid_x, top - top % grid_y
        ax1, ay1 = right + -right % grid_x, bottom + -bottom % grid_y
        old = self.crop_rgb(ax0, ay0, ax1, ay1)
        new = old.copy()
        amount: Mask = np.zeros(old.shape[:2], np.float32)
        inner = (slice(top - ay0, bottom - ay0), slice(left - ax0, right - ax0))
        part = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
        new[inner] = rgb[part]
        amount[inner] = np.clip(weights[part], 0.0, 1.0)
        self._blend(ax0, ay0, ax1, ay1, old, new, amount)

    def _blend(self, x0: int, y0: int, x1: int, y1: int, old: Rgb, new: Rgb, mask: Mask) -> None:
        layout = self.layout
        rows = slice(y0 >> layout.shift_y, y1 >> layout.shift_y)
        columns = slice(x0 >> layout.shift_x, x1 >> layout.shift_x)
        for picture in self._changeable():
            luma, blue, red = plane_views(picture)
            blend_patch(
                (luma[y0:y1, x0:x1], blue[rows, columns], red[rows, columns]),
                old,
                new,
                mask,
                layout.codes,
                shift_x=layout.shift_x,
                shift_y=layout.shift_y,
            )

    def _changeable(self) -> list[VideoFrame]:
        """The pictures that it holds, free to be written into."""
        pictures = [self._native] if self._seen is self._native else [self._native, self._seen]
        if not self._own:
            for picture in pictures:  # the decoder may still predict later frames from this memory
                picture.make_writable()
        self._own = True
        return pictures

    def _check_inside(self, x0: int, y0: int, x1: int, y1: int) -> None:
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(
                f"the rectangle x {x0}..{x1}, y {y0}..{y1} must have an area and lie inside the "
                f"{self.width}x{self.height} picture; clip it first"
            )


class FrameMaker:
    """Makes upright frames of one layout from what a decoder gives."""

    def __init__(self, facts: VideoFacts) -> None:
        self._facts = facts
        self.layout = FrameLayout.of(facts)
        self._reformatter = VideoReformatter()

    def make(self, planar: VideoFrame, progressive: VideoFrame, *, index: int, pts: int) -> Frame:
        """Wrap a frame of `planar`, turning it only if need be.

        Args:
            planar: As it goes to the encoder.
            progressive: The picture to look at; the same unless it is interlaced.
            index: Number of the frame.
            pts: ticks.
        """
        native = self._upright(planar)
        seen = native if progressive is planar else self._upright(progressive)
        return Frame(native, self.layout, index=index, pts=pts, progressive=seen)

    def planar(self, decoded: VideoFrame) -> VideoFrame:
        """Convert exotic layouts and other sizes to those of the video's frames.

        Twins that differ by name only pass.
        """
        wanted = self._facts.frame_format
        name = decoded.format.name
        width, height = self._facts.stored_size
        if (decoded.width, decoded.height) != (width, height):
            decoded = self._reformatter.reformat(
                decoded, width, height, interpolation=Interpolation.BICUBIC
            )
        upright = all(plane.line_size > 0 for plane in decoded.planes)
        if upright and name.replace("yuvj", "yuv") == wanted:
            return decoded
        layout = av.VideoFormat(name)
        if layout.is_rgb or layout.has_palette:
            return self._reformatter.reformat(
                decoded,
                format=wanted,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
        return self._reformatter.reformat(decoded, format=wanted)

    def _upright(self, frame: VideoFrame) -> VideoFrame:
        if not self._facts.upright_as_stored:
            return self._turned(frame)
        if frame.format.name != self._facts.frame_format:
            return self._filled(frame, list(plane_views(frame)))
        return frame

    def _turned(self, frame: VideoFrame) -> VideoFrame:
        facts = self._facts
        turned = []
        for plane in plane_views(frame):
            if facts.transposed:
                plane = cv2.transpose(plane)
            if facts.flipped_x or facts.flipped_y:
                code = -1 if facts.flipped_x and facts.flipped_y else int(facts.flipped_x)
                plane = cv2.flip(plane, code)
            turned.append(plane)
        return self._filled(frame, turned)

    def _filled(self, source: VideoFrame, planes: list[Plane]) -> VideoFrame:
        facts = self._facts
        native = VideoFrame(facts.width, facts.height, facts.frame_format)
        _copy_tags(source, native)
        for target, plane in zip(plane_views(native), planes, strict=True):
            target[...] = plane
        return native


def _copied(source: VideoFrame) -> VideoFrame:
    copy = VideoFrame(source.width, source.height, source.format.name)
    _copy_tags(source, copy)
    for target, plane in zip(plane_views(copy), plane_views(source), strict=True):
        target[...] = plane
    return copy


def _copy_tags(source: VideoFrame, target: VideoFrame) -> None:
    target.pts = source.pts
    if source.time_base is not None:  # a packet without a file has none
        target.time_base = source.time_base
    target.color_range = source.color_range
    target.color_primaries = source.color_primaries
    target.color_trc = source.color_trc
    target.colorspace = source.colorspace
