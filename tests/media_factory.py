"""Makes small media files for tests: moving patterns or real faces, with every oddity of the wild.

All is deterministic and made with PyAV; nothing needs a network or an ffmpeg binary.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import count, cycle
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from stores.media.fields import flagged

Rgb = npt.NDArray[np.uint8]

EXAMPLE = Path(__file__).parents[1] / "examples" / "cap13.mp4"
"""400x300, 25 fps, a face throughout."""

NTSC = {
    "23.976": Fraction(24000, 1001),
    "29.97": Fraction(30000, 1001),
    "59.94": Fraction(60000, 1001),
}


def pattern(index: int, width: int, height: int) -> Rgb:
    """Draw a colour gradient with a bright square that moves with the frame's number.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    x = np.linspace(40, 200, width, dtype=np.float32)[None, :]
    y = np.linspace(40, 200, height, dtype=np.float32)[:, None]
    image = np.empty((height, width, 3), np.float32)
    image[..., 0] = x
    image[..., 1] = y
    image[..., 2] = (x + y + 3 * index) % 256
    side = max(4, min(width, height) // 5)
    left = (index * 3) % max(1, width - side)
    top = (index * 2) % max(1, height - side)
    image[top : top + side, left : left + side] = (230, 60, 30)
    return image.astype(np.uint8)


def faces(width: int, height: int) -> Iterator[Rgb]:
    """Scale the frames of the example video, again and again from its start.

    Yields:
        uint8 (height, width, 3), RGB.
    """
    for path in cycle([EXAMPLE]):
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.reformat(width=width, height=height, format="rgb24").to_ndarray()


def woven(pictures: Iterator[Rgb], field_order: str) -> Iterator[Rgb]:
    """Interlace pictures, two to a frame.

    Yields:
        uint8 (height, width, 3), RGB.
    """
    first = 0 if field_order == "tff" else 1
    for one, other in zip(pictures, pictures, strict=False):
        frame = one.copy()
        frame[1 - first :: 2] = other[1 - first :: 2]
        yield frame


def tone(samples: int, *, rate: int = 16000, channels: int = 1) -> npt.NDArray[np.float32]:
    """Make a gliding tone, no two stretches of which are alike.

    Returns:
        float32 (sample, channel), -0.5..0.5.
    """
    time = np.arange(samples) / rate
    wave = 0.5 * np.sin(2 * np.pi * (200 * time + 40 * time**2))
    return np.repeat(wave.astype(np.float32)[:, None], channels, axis=1)


def make_video(
    path: Path,
    *,
    frames: int = 30,
    size: tuple[int, int] = (160, 120),
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    draw: Callable[[int, int, int], Rgb] = pattern,
    real_faces: bool = False,
    rotation: int = 0,
    full_range: bool = False,
    matrix: int | None = None,
    aspect: Fraction | None = None,
    audio: str | None = None,
    audio_rate: int = 16000,
    audio_channels: int = 1,
    field_order: str | None = None,
    tags: tuple[int, int, int] | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video.

    Args:
        path: Its suffix names the container.
        frames: How many.
        size: (width, height) px as stored.
        rate: frames per second.
        pts: ticks of `time_base` for each frame; by default one frame after the other.
        time_base: seconds of a tick; by default of a frame.
        codec: PyAV's encoder.
        pix_fmt: pixel format handed to the encoder.
        draw: Makes the picture of a frame: (index, width, height) -> uint8 (h, w, 3) RGB.
        real_faces: Take the example's frames instead of `draw`.
        rotation: degrees counter-clockwise by which players are to turn the picture.
        full_range: Use and tag full range.
        matrix: H.273 colour matrix to use and tag (1 or 6).
        aspect: sample aspect ratio.
        audio: encoder of a sound track as long as the pictures, or None.
        audio_rate: Hz.
        audio_channels: 1 or 2.
        field_order: `tff` or `bff` for interlaced frames, whose fields are drawn as pictures of
            their own, of twice the rate.
        tags: H.273 primaries, transfer and matrix to tag, whatever the samples are.
        metadata: tags of the container.
        options: options of the video encoder.
        container_options: options of the muxer.

    Returns:
        `path`.
    """
    rate = Fraction(rate)
    tick = time_base or 1 / rate
    ticks = list(pts) if pts is not None else [round(i / rate / tick) for i in range(frames)]
    source = faces(*size) if real_faces else (draw(i, *size) for i in count())
    if field_order:
        source = woven(source, field_order)
        options = {"flags": "+ildct+ilme", "x264-params": f"{field_order}=1", **(options or {})}
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream: Any = container.add_stream(codec, rate, options=options or {})
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = *size, pix_fmt
        context.time_base = tick
        context.thread_count = 2
        if full_range:
            context.color_range = 2
        if matrix:
            context.colorspace = context.color_primaries = context.color_trc = matrix
        if tags:
            context.color_primaries, context.color_trc, context.colorspace = tags
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        voice: Any = container.add_stream(audio, rate=audio_rate) if audio else None
        if voice is not None:
            voice.codec_context.layout = "stereo" if audio_channels == 2 else "mono"
        for number, (at, rgb) in enumerate(zip(ticks, source, strict=False)):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format=pix_fmt,
                dst_colorspace=Colorspace.ITU709 if matrix == 1 else Colorspace.ITU601,
                dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            )
            frame.pts, frame.time_base = at, tick
            frame.color_range = 2 if full_range else 1
            if tags:
                frame.colorspace = 2
            if field_order:
                (frame,) = flagged([frame], field_order)
                frame.pts, frame.time_base = at, tick
            container.mux(stream.encode(frame))
            if voice is not None and number == 0:
                samples = round(len(ticks) / rate * audio_rate)
                _encode_sound(container, voice, samples, audio_rate, audio_channels)
        container.mux(stream.encode(None))
    return path


def make_audio(
    path: Path,
    *,
    samples: int = 16000,
    rate: int = 16000,
    channels: int = 1,
    codec: str = "pcm_s16le",
    level: float = 1.0,
) -> Path:
    """Write a sound file of a gliding tone; the suffix names the container."""
    with av.open(str(path), "w") as container:
        voice: Any = container.add_stream(codec, rate=rate)
        voice.codec_context.layout = "stereo" if channels == 2 else "mono"
        _encode_sound(container, voice, samples, rate, channels, level)
    return path


def _encode_sound(
    container: Any, voice: Any, samples: int, rate: int, channels: int, level: float = 1.0
) -> None:
    wave = level * tone(samples, rate=rate, channels=channels)
    for begin in range(0, samples, 1024):
        part = np.ascontiguousarray(wave[begin : begin + 1024].T)
        layout = "stereo" if channels == 2 else "mono"
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        container.mux(voice.encode(frame))
    container.mux(voice.encode(None))


def make_still(path: Path, *, size: tuple[int, int] = (160, 120)) -> Path:
    """Write one picture as PNG, JPEG or WebP, as the suffix says."""
    import cv2

    if not cv2.imwrite(str(path), pattern(0, *size)[..., ::-1]):
        raise ValueError(f"no picture can be written to {path}")
    return path


def variable_times(frames: int, *, seed: int = 0) -> list[int]:
    """Draw times of a webcam in ms: about 30 a second, with jitter and dropped frames."""
    steps = np.random.default_rng(seed).choice([33, 34, 33, 40, 67, 21], frames)
    steps[0] = 0
    return [int(t) for t in np.cumsum(steps)]


DAMAGES = ("flip", "flips", "zero", "cut", "noise", "truncate")
"""Kinds of `damage`."""


def damage(source: Path, target: Path, *, kind: str, seed: int) -> Path:
    """Copy a file and damage the copy.

    Args:
        source: A sound file.
        target: Where the damaged copy goes.
        kind: One of `DAMAGES`: one bit or twenty bytes changed, a block zeroed, cut out or
            overwritten with noise, or the end cut off.
        seed: Where and how much.

    Returns:
        `target`.
    """
    random = np.random.default_rng(seed)
    data = bytearray(source.read_bytes())
    at = int(random.integers(32, len(data) - 64))
    length = int(random.integers(256, 8000))
    if kind == "flip":
        data[at] ^= 1 << int(random.integers(8))
    elif kind == "flips":
        for place in random.integers(32, len(data), 20):
            data[place] ^= int(random.integers(1, 256))
    elif kind == "zero":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "cut":
        del data[at : at + length]
    elif kind == "noise":
        data[at : at + length] = random.bytes(len(data[at : at + length]))
    elif kind == "truncate":
        del data[at:]
    else:
        raise ValueError(f"{kind} is none of {DAMAGES}")
    target.write_bytes(data)
    return target


def content(path: Path) -> list[tuple[int, int | None, int | None, int | None, bytes]]:
    """What a media file holds, whoever signed it when: packets with their tracks and times."""
    with av.open(str(path)) as container:
        return [(p.stream_index, p.pts, p.dts, p.duration, bytes(p)) for p in container.demux()]
