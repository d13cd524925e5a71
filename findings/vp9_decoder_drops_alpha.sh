#!/bin/sh
# Guess:    A WebM whose pictures are transparent is decoded with an alpha plane, as a transparent
#           ProRes, GIF or PNG is; or something says that it was dropped.
# Happens:  FFmpeg's decoder vp9 gives yuv420p, and says nothing. libvpx-vp9 gives yuva420p for the
#           same packets, each of which carries its alpha as a picture of its own beside the colours.
#           From the frames of the first nobody can tell that there was any; the track's tag
#           alpha_mode says so.
# Versions: av 18.1.0 (libavcodec 62.28), numpy 2.2.6
# Source:   RFC 9559, element AlphaMode: 1 means that BlockAdditional with BlockAddID 1 holds alpha.
#           That one of two decoders of one library passes over it was seen by running both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import av
import numpy as np

print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"], "numpy", np.__version__)

picture = np.full((48, 64, 4), 200, np.uint8)
picture[..., 3] = np.where(np.arange(64) < 32, 0, 255)  # the left half is not to be seen
with av.open("half.webm", "w") as made:
    stream = made.add_stream("libvpx-vp9", 25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
    for number in range(3):
        frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="yuva420p")
        frame.pts = number
        made.mux(stream.encode(frame))
    made.mux(stream.encode(None))

with av.open("half.webm") as file:
    track = file.streams.video[0]
    tag = {name.lower(): value for name, value in track.metadata.items()}.get("alpha_mode")
    packets = [packet for packet in file.demux(track) if packet.size]
    named = av.CodecContext.create("libvpx-vp9", "r")
    by_hand = [frame for packet in packets for frame in named.decode(packet)]
with av.open("half.webm") as file:
    unasked = list(file.decode(video=0))
    decoder = file.streams.video[0].codec_context.codec.name

print("alpha_mode", tag)
print("unasked:", decoder, unasked[0].format.name)
print("by hand:", named.codec.name, by_hand[0].format.name)
alpha = by_hand[0].to_ndarray(format="rgba")[..., 3]
print("alpha of its left and right half:", alpha[:, :28].max(), alpha[:, 36:].min())
assert tag == "1"
assert (decoder, unasked[0].format.name) == ("vp9", "yuv420p")
assert by_hand[0].format.name == "yuva420p" and alpha[:, :28].max() < 8 and alpha[:, 36:].min() > 247
PYTHON
