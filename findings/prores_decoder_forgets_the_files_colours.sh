#!/bin/sh
# Guess:    what a file's header says of its colours (here BT.2020, PQ) holds where the frames
#           themselves say "unspecified", as it does where a codec's frames say nothing at all.
# Happens:  a ProRes stream has the header's colours until the first frame is decoded. The decoder
#           then puts the frame's "unspecified" in their place, on the frame and on the codec
#           context, and an HDR file can no longer be told from any other. FFV1 keeps them.
# Versions: av 18.1.0 (libavcodec 62.28), numpy 1.26.4
# Source:   ITU-T H.273, tables 2 to 4: 2 is "unspecified", unknown or determined by the application.
#           SMPTE RDD 36, frame header: the colour fields of a ProRes frame may say so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==1.26.4
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import av
import numpy as np

print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"], "numpy", np.__version__)
DECLARED = (9, 16, 9)  # primaries BT.2020, transfer PQ, matrix BT.2020


def write(path, codec, pix_fmt):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = 192, 128, pix_fmt
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = DECLARED
        picture = np.full((128, 192, 3), 90, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture).reformat(format=pix_fmt)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def colours(thing):
    return int(thing.color_primaries), int(thing.color_trc), int(thing.colorspace)


seen = {}
for codec, pix_fmt, name in (("prores_ks", "yuv422p10le", "a.mov"), ("ffv1", "yuv420p10le", "a.mkv")):
    path = Path(sys.argv[1]) / name
    write(path, codec, pix_fmt)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        before = colours(context)
        frame = next(container.decode(video=0))
        seen[codec] = before, colours(context), colours(frame)
    print(codec, "guessed", (DECLARED,) * 3)
    print("  seen before decoding, after it, on the frame:", seen[codec])
data = (Path(sys.argv[1]) / "a.mov").read_bytes()
stated = tuple(data[data.index(b"icpf") + 18 :][:3])
print("the ProRes frame's own header states", stated)
unspecified = (2, 2, 2)
if (
    stated != unspecified
    or seen["prores_ks"] != (DECLARED, unspecified, unspecified)
    or seen["ffv1"] != (DECLARED,) * 3
):
    raise SystemExit("this has changed: the finding no longer holds")
PYTHON
