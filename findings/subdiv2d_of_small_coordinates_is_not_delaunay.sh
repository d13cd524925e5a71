#!/bin/sh
# Guess:    cv2.Subdiv2D gives the Delaunay triangulation of its points, whatever their unit: the same
#           points in a square of side 1 and in one of side 1000 give the same triangles.
# Happens:  Of 2,000 points in the unit square, every eighth triangle or so has another point in its
#           circumcircle, so it is none of Delaunay's, and nothing tells. Multiplied by 1000, the same
#           points give right triangles. Normalised coordinates (landmarks over the width of the
#           picture, UV maps) so give worse meshes than pixels do.
# Versions: opencv-python-headless 4.14.0.94, with scipy 1.17.1 to compare
# Source:   The page of Subdiv2D promises Delaunay's triangulation and names no unit. The test for the
#           circle compares a quantity that goes with the fourth power of the unit with a fixed bound:
#           isPtInCircle3 in modules/imgproc/src/subdivision2d.cpp.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==4.14.0.94 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import scipy
from scipy.spatial import Delaunay

print("opencv", cv2.__version__, "scipy", scipy.__version__)
unit = np.random.default_rng(1).random((2000, 2)).astype(np.float32)


def triangles(points, side):
    mesh = cv2.Subdiv2D((-side - 1, -side - 1, 3 * side + 3, 3 * side + 3))
    number = {}
    for index, point in enumerate(points.tolist()):
        mesh.insert(point)
        number[tuple(point)] = index
    corners = mesh.getTriangleList().reshape(-1, 3, 2).tolist()
    known = [[number.get(tuple(corner)) for corner in each] for each in corners]
    return [each for each in known if None not in each]  # some reach beyond the points


def wrong(points, found):
    """Triangles whose circumcircle clearly holds another point."""
    points, count = points.astype(np.float64), 0
    for each in found:
        a, b, c = points[each]
        centre = np.linalg.solve([b - a, c - a], [(b @ b - a @ a) / 2, (c @ c - a @ a) / 2])
        away = np.linalg.norm(points - centre, axis=1)
        away[each] = np.inf
        count += away.min() < 0.999 * np.linalg.norm(a - centre)
    return int(count)


small = wrong(unit, triangles(unit, 1))
large = wrong(unit * 1000, triangles(unit * 1000, 1000))
other = wrong(unit, Delaunay(unit.astype(np.float64)).simplices.tolist())
print(f"triangles with a point in their circle: {small} of side 1, {large} of side 1000, scipy {other}")
if not (small > 100 and large == 0 and other == 0):
    raise SystemExit("changed")
PYTHON
echo "as described"
