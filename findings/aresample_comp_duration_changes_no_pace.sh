#!/bin/sh
# Guess:    aresample's comp_duration says over how many seconds sound is stretched until it matches
#           its time stamps: 10 ms are made up for ten times as fast with 0.1 as with 1.
# Happens:  the pace is the same for 0.1, 1 and 10. The deviation in seconds is taken for the share
#           of stretching (10 ms: 1 %), so half of any deviation takes about 0.7 s; comp_duration is
#           multiplied in, and divided out again by spreading it over that same duration.
#           max_soft_comp can only make it slower. A tenth of the rate on the frames' label, with
#           the samples left as they are, is what makes it about ten times as fast.
# Versions: av 18.1.0 (libswresample 6.3), numpy 1.26.4
# Source:   https://ffmpeg.org/ffmpeg-resampler.html: comp_duration, "duration (in seconds) over which
#           data is stretched/squeezed to make it match the timestamps". swr_next_pts in
#           libswresample/swresample.c: comp = clip(fdelta) * duration, over duration.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==1.26.4
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import av
import av.filter
import numpy as np

swresample = av.library_versions["libswresample"]
print("av", av.__version__, "libswresample", swresample, "numpy", np.__version__)
RATE, LATE = 48000, 480
STEP = RATE // 100


def half(duration, most=0.5, label=RATE):
    """Seconds until half of a deviation of 480 samples, which begins after 1 s, is made up for."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        format="flt", sample_rate=label, layout="mono", time_base=Fraction(1, label)
    )
    follow = graph.add(
        "aresample",
        f"min_comp=0.001:min_hard_comp=10:max_soft_comp={most}:comp_duration={duration}:first_pts=0",
    )
    sink = graph.add("abuffersink")
    graph.link_nodes(source, follow, sink).configure()
    given = 0
    for index in range(400):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, STEP), np.float32), "flt", "mono")
        frame.sample_rate, frame.time_base = label, Fraction(1, label)
        frame.pts = index * STEP + (LATE if index >= 100 else 0)
        source.push(frame)
        while True:
            try:
                given += sink.pull().samples
            except (av.error.BlockingIOError, av.error.EOFError):
                break
        if given - (index + 1) * STEP > LATE / 2:
            return (index - 99) / 100
    return float("inf")


print("guessed: in proportion to comp_duration; seconds until half is made up for, seen:")
seen = [half(duration) for duration in (0.1, 1, 10)]
print("  comp_duration 0.1, 1, 10:", seen)
bounded = [half(1, most) for most in (0.001, 0.1)]
print("  max_soft_comp 0.001, 0.1 (inf: not within 3 s):", bounded)
labelled = half(1, label=RATE // 10)
print("  frames labelled with a tenth of their rate:", labelled)
if (
    max(seen) - min(seen) > 0.05
    or not 0.6 <= seen[1] <= 0.85
    or bounded[0] < 2
    or abs(bounded[1] - seen[1]) > 0.01
    or not labelled < seen[1] / 5
):
    raise SystemExit("this has changed: the finding no longer holds")
PYTHON
