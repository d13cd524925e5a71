"""Loop's subdivision of triangle meshes (1987), as a matrix: it refines whatever lies on vertices.

Vertices of the coarse mesh stay first; those on an edge of one triangle only move along the border.
"""

import numpy as np
from jaxtyping import Int64
from scipy.sparse import coo_array, csr_array, diags_array, eye_array, vstack


def subdivide(
    triangles: Int64[np.ndarray, "triangle 3"], n_vertices: int, levels: int
) -> tuple[csr_array, Int64[np.ndarray, "finer 3"]]:
    """Each triangle in four, so many times.

    Args:
        triangles: Three vertices each, all in the same sense.
        n_vertices: Of the coarse mesh.
        levels: How often.

    Returns:
        Weights (fine vertex, coarse vertex) that sum to 1, and the fine triangles.
    """
    weights = csr_array(eye_array(n_vertices))
    for _ in range(levels):
        step, triangles = _once(triangles, weights.shape[0])
        weights = csr_array(step @ weights)
    return weights, triangles


def _once(
    triangles: Int64[np.ndarray, "triangle 3"], n: int
) -> tuple[csr_array, Int64[np.ndarray, "finer 3"]]:
    # side i of a triangle lies opposite its corner i
    sides = np.sort(triangles[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2))
    edges, side_edge, around = np.unique(sides, axis=0, return_inverse=True, return_counts=True)
    side_edge = side_edge.reshape(-1)
    border = around == 1
    ends = _incidence(np.repeat(np.arange(len(edges)), 2), edges.reshape(-1), (len(edges), n))
    opposite = _incidence(side_edge, triangles.reshape(-1), (len(edges), n))
    middles = diags_array(np.where(border, 0.5, 0.375)) @ ends
    middles += diags_array(np.where(border, 0, 0.125)) @ opposite
    neighbours, beside = (
        _incidence(np.concatenate([e[:, 0], e[:, 1]]), np.concatenate([e[:, 1], e[:, 0]]), (n, n))
        for e in (edges, edges[border])
    )
    valence, on_border = neighbours.sum(1), beside.sum(1) > 0
    beta = (0.625 - (0.375 + np.cos(2 * np.pi / valence) / 4) ** 2) / valence
    beta = np.where(on_border, 0, beta)
    own = np.where(on_border, 0.75, 1 - valence * beta)
    kept = diags_array(own) + diags_array(beta) @ neighbours + 0.125 * beside
    a, b, c = triangles.T
    at_a, at_b, at_c = n + side_edge.reshape(-1, 3).T
    finer = [(a, at_c, at_b), (at_c, b, at_a), (at_b, at_a, c), (at_a, at_b, at_c)]
    return csr_array(vstack([kept, middles])), np.concatenate([np.stack(t, 1) for t in finer])


def _incidence(
    rows: Int64[np.ndarray, " entry"], columns: Int64[np.ndarray, " entry"], shape: tuple[int, int]
) -> csr_array:
    return csr_array(coo_array((np.ones(len(rows)), (rows, columns)), shape=shape))
