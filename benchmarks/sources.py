"""Long talking videos for benchmarks, made of the built-in example. Nothing is downloaded."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

ROOT = Path(__file__).parent.parent
VIDEO = ROOT / "examples" / "cap13.mp4"
SPEECH = ROOT / "examples" / "jfk.wav"
RATE = 25


def talking_video(path: Path, *, seconds: int, width: int, height: int) -> Path:
    """A face of natural size in a wide frame, 25 fps H.264, with a sound track.

    The first 30 s are drawn and encoded; longer videos repeat the packets.
    """
    if path.exists():
        return path
    partial = path.with_suffix(".part.mp4")
    frames = min(seconds, 30) * RATE
    with av.open(str(VIDEO)) as source, av.open(str(partial), "w") as target:
        stream: Any = target.add_stream(
            "libx264", RATE, options={"crf": "20", "preset": "veryfast"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for index, frame in enumerate(source.decode(video=0)):
            if index == frames:
                break
            picture = _framed(frame, width, height)
            picture.pts, picture.time_base = index, Fraction(1, RATE)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    _repeated(partial, path, frames=frames, times=-(-seconds // 30), seconds=seconds)
    partial.unlink()
    return path


def speech(path: Path, *, seconds: int) -> Path:
    """The example's speech, again and again, 16 kHz."""
    if path.exists():
        return path
    with wave.open(str(SPEECH), "rb") as read, wave.open(str(path), "wb") as write:
        write.setparams(read.getparams())
        once = read.readframes(read.getnframes())
        need = seconds * read.getframerate() * read.getsampwidth()
        write.writeframes((once * (need // len(once) + 1))[:need])
    return path


def _framed(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """The example scaled to the full height: its middle, or in the middle of a plain wall."""
    inner = height * 4 // 3
    picture = frame.reformat(width=inner, height=height, format="rgb24").to_ndarray()
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = picture[:, :1].mean(axis=(0, 1)).astype(np.uint8)
    left, cut = max(0, width - inner) // 2, max(0, inner - width) // 2
    canvas[:, left : left + inner] = picture[:, cut : cut + width]
    return av.VideoFrame.from_ndarray(canvas, format="rgb24").reformat(format="yuv420p")


def _repeated(piece: Path, path: Path, *, frames: int, times: int, seconds: int) -> None:
    """Join a video to itself without re-encoding, and add sound of the same length."""
    voice_file = speech(path.with_suffix(".wav"), seconds=seconds)
    with av.open(str(path), "w") as target, av.open(str(voice_file)) as sound:
        with av.open(str(piece)) as first:
            stream: Any = target.add_stream_from_template(first.streams.video[0])
            tick = first.streams.video[0].time_base
        voice: Any = target.add_stream("aac", rate=16000)
        voice.codec_context.layout = "mono"
        packets: list[Any] = []
        for number in range(times):
            shift = round(number * frames / RATE / tick)
            with av.open(str(piece)) as again:
                for packet in again.demux(video=0):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    packets.append((packet.dts * tick, packet))
        for frame in sound.decode(audio=0):
            for packet in voice.encode(frame):
                packets.append((packet.dts * packet.time_base, packet))
        packets += [(Fraction(10**9), packet) for packet in voice.encode(None)]
        for _, packet in sorted(packets, key=lambda item: item[0]):
            target.mux(packet)
