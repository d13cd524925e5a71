#!/bin/sh
# Guess:    frame.side_data gives what PyAV knows of a frame, such as its display matrix, and leaves
#           out, or passes on unnamed, what it doesn't know.
# Happens:  FFmpeg hands a photo's EXIF block on as side data of type 31, for which PyAV has no
#           name. Reading frame.side_data then raises ValueError whatever is asked for, so the
#           display matrix beside it can't be read. frame.rotation still answers, but is the same
#           for a picture that is turned and for one that is mirrored.
# Versions: av 18.1.0 (libavcodec 62.28), pillow 13.0.0
# Source:   av/sidedata/sidedata.py: `Type` ends with VIDEO_HINT (27), and the container looks up the
#           name of every entry when it is made. https://github.com/PyAV-Org/PyAV/pull/2392, later
#           than 18.1.0, completes the table.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io

import av
import PIL
from av.sidedata.sidedata import Type
from PIL import Image

print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"], "pillow", PIL.__version__)


def first_frame(orientation):
    """A JPEG, with an EXIF block if there is an orientation to say, decoded."""
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, "jpeg", exif=exif)
    file.seek(0)
    with av.open(file) as container:
        return next(container.decode(video=0))


def matrix(frame):
    try:
        found = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError as error:
        return repr(error)
    return None if found is None else f"{len(bytes(found))} bytes"


print("guessed: no matrix without EXIF, 36 bytes with it; seen:")
seen = {}
for orientation, meaning in ((0, "no EXIF"), (2, "mirrored"), (3, "turned by 180 degrees")):
    frame = first_frame(orientation)
    seen[orientation] = matrix(frame), frame.rotation
    print(f"  {meaning}: matrix {seen[orientation][0]}, rotation {seen[orientation][1]}")
told = seen[0][0] is None and all("31 is not a valid Type" in seen[o][0] for o in (2, 3))
if not told or seen[2][1] != seen[3][1]:
    raise SystemExit("this has changed: the finding no longer holds")
PYTHON
