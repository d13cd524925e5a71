#!/bin/sh
# Guess:    stream.start_time is the time of the first sample that is heard, whatever the rate of
#           the sound before it was encoded.
# Happens:  for Opus in Matroska (and WebM) that was encoded from 16 kHz sound, the header's start is
#           13 ms, from 8 kHz 32 ms; the first decoded frame's time is 0 throughout. What is to be
#           skipped, 312 samples, counts at 48 kHz, but is turned into seconds at the rate that the
#           track's header names. With 48 kHz written over that rate, the same file starts at 0.
# Versions: av 18.1.0 (libavformat 62.12), numpy 1.26.4
# Source:   RFC 7845, section 5.1: pre-skip is a number of samples at 48 kHz, and the input sample
#           rate is not the rate of what is decoded. https://wiki.xiph.org/MatroskaOpus wants 48 kHz
#           as the track's rate; FFmpeg's own muxer, which writes the file here, names the input's.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==1.26.4
"$folder/venv/bin/python" - "$folder/a.mkv" <<'PYTHON'
import struct
import sys
from pathlib import Path

import av
import numpy as np

print("av", av.__version__, "libavformat", av.library_versions["libavformat"], "numpy", np.__version__)
path = Path(sys.argv[1])


def write(rate):
    tone = np.sin(2 * np.pi * 300 * np.arange(rate) / rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=rate, layout="mono")
        samples = (10000 * tone).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def starts():
    """By the header and by the first frame [ms]."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        header = round(1000 * stream.start_time * stream.time_base)
        frame = next(container.decode(stream))
        return header, round(1000 * frame.pts * frame.time_base)


print("guessed the same start by header and first frame [ms], seen:")
seen = {}
for rate in (48000, 16000, 8000):
    write(rate)
    seen[rate] = starts()
    print(f"  from {rate} Hz: {seen[rate]}")
sampling = b"\xb5\x88"  # SamplingFrequency, a float of eight bytes
data = path.read_bytes()
path.write_bytes(data.replace(sampling + struct.pack(">d", 8000), sampling + struct.pack(">d", 48000)))
seen["renamed"] = starts()
print("  from 8000 Hz, the track's rate overwritten with 48000 Hz:", seen["renamed"])
if seen != {48000: (0, 0), 16000: (13, 0), 8000: (32, 0), "renamed": (0, 0)}:
    raise SystemExit("this has changed: the finding no longer holds")
PYTHON
