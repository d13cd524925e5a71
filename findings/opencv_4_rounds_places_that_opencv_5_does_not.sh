#!/bin/sh
# Guess:    warpAffine of a float32 image by a float64 matrix with INTER_LINEAR mixes neighbours in
#           proportion to the exact place, in any release: an image moved by 0.01 px is another image.
# Happens:  OpenCV 4 rounds each place to 1/32 px before it looks up the weights, whatever the types.
#           A step of 200 levels that is moved by 0.01 px does not change at all, and one moved by
#           0.047 px is off by 3 levels. OpenCV 5 mixes at the exact place. So procedures that were
#           published with OpenCV 4 (face crops for networks, pasting back) are no longer reproduced
#           to the grey level by the same call.
# Versions: opencv-python-headless 4.14.0.94 and 5.0.0.93
# Source:   INTER_BITS = 5 in modules/imgproc/include/opencv2/imgproc.hpp of OpenCV 4; the page of
#           warpAffine does not say it. https://github.com/opencv/opencv/issues/26361 names the cause.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.14.0.94 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "opencv-python-headless==$version"
    "$folder/$version/bin/python" - <<'PYTHON'
import cv2
import numpy as np

step = np.zeros((4, 9), np.float32)
step[:, 4:] = 200
print("opencv", cv2.__version__)
seen = []
for shift in (0.01, 0.047, 0.05):
    moved = cv2.warpAffine(step, np.array([[1, 0, shift], [0, 1, 0.0]]), (9, 4))
    seen.append(float(moved[1, 4]))
    print(f"moved by {shift} px: {seen[-1]:.2f}, exact {200 * (1 - shift):.2f}")
exact = [198.0, 190.6, 190.0]
rounded = [200.0, 193.75, 187.5]
expected = rounded if cv2.__version__.startswith("4.") else exact
if not np.allclose(seen, expected, atol=0.01):
    raise SystemExit(f"changed: {seen}")
PYTHON
done
echo "as described"
