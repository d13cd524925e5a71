"""The mesh of the lower face."""

import numpy as np
from scipy.spatial import Delaunay

from models.faces.crop.crop import CROP_CENTRE, CROP_SIDE
from models.faces.crop.lower_face import lower_face
from tasks.source.landmarks import mean_face


def test_its_triangles_are_those_of_delaunay() -> None:
    mean = mean_face()
    mesh = lower_face(mean)
    corner = np.array(CROP_CENTRE[:2]) - CROP_SIDE / 2
    flat = np.concatenate([(mean[mesh.points, :2] - corner) / CROP_SIDE, mesh.border])
    other = {frozenset(each) for each in Delaunay(flat.astype(np.float64)).simplices.tolist()}
    assert {frozenset(each) for each in mesh.triangles.tolist()} == other
    assert len(mesh.triangles) == len(other) > 600
