"""Rotations, normals and light on vertices, for the face models of Deep3D and of AudioDVP."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from models.tensors import PerVertex

LightByColour = Float[Tensor, "batch 9 3"]  # spherical harmonics of red, green and blue
Triangles = Int64[Tensor, "triangle 3"]  # three vertices each
# Triangles about each vertex, padded with the index one past the last
VertexTriangles = Int64[Tensor, "vertex around"]

N_LIGHT = 27
"""Lighting coefficients: 9 spherical harmonics for each of red, green and blue."""

# Lambertian response of each order times the harmonics' factors (Ramamoorthi and Hanrahan, 2001)
_ORDER_0 = math.pi / math.sqrt(4 * math.pi)
_ORDER_1 = 2 * math.pi / math.sqrt(3) * math.sqrt(3) / math.sqrt(4 * math.pi)
_ORDER_2 = 2 * math.pi / math.sqrt(8) * 3 * math.sqrt(5) / math.sqrt(12 * math.pi)


def euler_rotation(angles: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations Rz Ry Rx, to be applied to columns.

    Args:
        angles: About x (pitch), y (yaw) and z (roll) [rad].
    """
    (sx, sy, sz), (cx, cy, cz) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = (
        torch.stack([cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx], -1),
        torch.stack([sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx], -1),
        torch.stack([-sy, cy * sx, cy * cx], -1),
    )
    return torch.stack(rows, -2)


def vertex_normals(
    vertices: PerVertex, triangles: Triangles, *, vertex_triangles: VertexTriangles, by_area: bool
) -> PerVertex:
    """Unit normals out of a surface.

    Args:
        vertices: Places in space.
        triangles: Three vertices each.
        vertex_triangles: Triangles about each vertex, padded with the index one past the last.
        by_area: Large triangles count for more; else all count alike.
    """
    first, second, third = (vertices[:, triangles[:, corner]] for corner in range(3))
    normals = torch.cross(first - second, second - third, dim=-1)
    if not by_area:
        normals = functional.normalize(normals, dim=-1)
    nothing = normals.new_zeros(len(normals), 1, 3)
    around = torch.cat([normals, nothing], 1)[:, vertex_triangles]
    return functional.normalize(around.sum(2), dim=-1)


def shade(
    albedo: PerVertex, normals: PerVertex, light: LightByColour, *, ambient: float
) -> PerVertex:
    """Colours of vertices under distant light; not clipped.

    Args:
        albedo: RGB.
        normals: Unit vectors.
        light: Spherical harmonics for each colour, without the ambient light.
        ambient: Added to the first of each colour.
    """
    around = torch.zeros_like(light)
    around[:, 0] = ambient
    return albedo * (harmonics(normals) @ (light + around))


def harmonics(normals: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch vertex 9"]:
    """The nine spherical harmonics in each direction, as light falls on it."""
    x, y, z = normals.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, _ORDER_0),
            -_ORDER_1 * y,
            _ORDER_1 * z,
            -_ORDER_1 * x,
            _ORDER_2 * x * y,
            -_ORDER_2 * y * z,
            _ORDER_2 * 0.5 / math.sqrt(3) * (3 * z * z - 1),
            -_ORDER_2 * x * z,
            _ORDER_2 * 0.5 * (x * x - y * y),
        ],
        -1,
    )
