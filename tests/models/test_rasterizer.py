"""The rasteriser against closed formulas."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes
from torch import Tensor

from models.audiodvp.face_model import clip_matrix
from models.deep3d.geometry import euler_rotation, shade
from models.rasterizer import visibility
from models.rasterizer.interpolation import interpolate, rasterize
from models.rasterizer.visibility import visible_triangles

ONE = torch.tensor([[0, 1, 2]])
SIDE = 64


def in_clip(points: Tensor) -> Tensor:
    """World → clip space of AudioDVP's camera."""
    return torch.cat([points, torch.ones_like(points[..., :1])], -1) @ clip_matrix().to(points).T


def flat(points: list[list[float]]) -> Tensor:
    """x, y, z as they are seen, without perspective: (1, vertex, 4)."""
    return torch.cat([torch.tensor(points), torch.ones(len(points), 1)], 1)[None]


def centres(side: int) -> Tensor:
    """Places of pixels' centres along an axis of clip space."""
    return (2 * torch.arange(side) + 1) / side - 1


def sphere(rings: int) -> tuple[Tensor, Tensor]:
    """A unit sphere: vertices and closed triangles."""
    turn = 2 * rings
    height = torch.linspace(0, math.pi, rings + 1)[:, None].expand(-1, turn)
    angle = (torch.arange(turn) * 2 * math.pi / turn).expand(rings + 1, -1)
    points = torch.stack(
        [height.sin() * angle.cos(), height.cos(), height.sin() * angle.sin()], -1
    ).reshape(-1, 3)
    points[:turn], points[-turn:] = points[0].clone(), points[-1].clone()
    here = torch.arange(rings)[:, None] * turn + torch.arange(turn)
    right = here.roll(-1, 1)
    corners = [here, right, right + turn], [here, right + turn, here + turn]
    return points, torch.cat([torch.stack(c, -1).reshape(-1, 3) for c in corners])


def test_a_triangle_covers_its_area() -> None:
    torch.manual_seed(0)
    corners = torch.rand(200, 3, 2) * 2.4 - 1.2
    corners = corners.clamp(-1, 1)
    clip = torch.cat([corners, torch.zeros(200, 3, 1), torch.ones(200, 3, 1)], -1)
    visible = visible_triangles(clip, ONE, SIDE)
    covered = torch.bincount(visible.pixel // SIDE**2, minlength=200)
    px = corners * SIDE / 2
    a, b = px[:, 1] - px[:, 0], px[:, 2] - px[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() / 2
    perimeter = (px - px.roll(1, 1)).norm(dim=-1).sum(1)
    assert ((covered - area).abs() <= perimeter).all()
    assert (covered - area).abs().mean() < 0.05 * perimeter.mean()  # without a bias


def test_colours_are_correct_in_perspective() -> None:
    corners = torch.tensor([[-2.0, -1.5, -6.0], [1.8, -1.2, 2.0], [0.2, 1.6, -1.0]])
    colors = torch.eye(3)[None]
    image, mask = rasterize(in_clip(corners)[None], ONE, colors, SIDE)
    # x = -z' x_ndc / zoom: the ray through each pixel, cut with the triangle's plane
    zoom = clip_matrix()[0, 0].double()
    y, x = torch.meshgrid(centres(SIDE).double(), centres(SIDE).double(), indexing="ij")
    ray = torch.stack([x / zoom, y / zoom, -torch.ones_like(x)], -1)
    eye = torch.tensor([0, 0, 8]).double()
    share = ray @ (corners.double() - eye).inverse()  # a point of the ray, as a sum of corners
    share = share / share.sum(-1, keepdim=True)
    inside = mask[0, 0] > 0
    assert inside.sum() > 500
    torch.testing.assert_close(
        image[0].permute(1, 2, 0)[inside].double(), share[inside], atol=1e-5, rtol=0
    )
    assert ((share.amin(-1) >= 0) == inside).all()


def test_planes_that_cross_part_along_their_line() -> None:
    corners = [[-2, -2], [2, -2], [2, 2], [-2, 2]]
    slope = (
        0.3,
        0.2,
        0.05,
    )  # depth of the first plane: 0.3 x + 0.2 y + 0.05; of the other: its negative
    first = [[x, y, slope[0] * x + slope[1] * y + slope[2]] for x, y in corners]
    second = [[x, y, -z] for x, y, z in first]
    clip = flat([*first, *second])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    visible = visible_triangles(clip, triangles, SIDE)
    assert len(visible.pixel) == SIDE**2
    y, x = torch.meshgrid(centres(SIDE), centres(SIDE), indexing="ij")
    depth = 0.3 * x + 0.2 * y + 0.05
    assert (depth.abs() > 1e-6).all()
    assert torch.equal((visible.triangle < 2).reshape(SIDE, SIDE), depth < 0)


def test_the_lower_of_two_equal_triangles_is_seen_and_both_faces_are() -> None:
    clip = flat([[-1, -1, 0], [1, -1, 0], [0, 1, 0]])
    visible = visible_triangles(clip, torch.tensor([[2, 1, 0], [0, 1, 2]]), SIDE)
    assert len(visible.pixel) > 0 and (visible.triangle == 0).all()
    torch.testing.assert_close(visible.pixel, visible_triangles(clip, ONE, SIDE).pixel)


def test_nothing_is_seen_behind_the_camera_or_beyond_the_depths() -> None:
    corners = torch.tensor([[-3.0, -2, 0], [3, -2, 0], [0, 3, 0]])
    for away, seen in ((0, True), (7.995, False), (9.0, False), (-93.0, False)):
        clip = in_clip(corners + torch.tensor([0, 0, away]))[None]
        image, mask = rasterize(clip, ONE, torch.ones(1, 3, 3), 16)
        assert bool(mask.any()) == seen and bool(image.any()) == seen
    # half behind it: what lies before it is seen, the rest isn't folded over
    floor = torch.tensor([[-50.0, 1, -40], [50, 1, -40], [0, 1, 30]])
    _, mask = rasterize(in_clip(floor)[None], ONE, torch.ones(1, 3, 3), 16)
    assert not mask[0, 0, :8].any() or not mask[0, 0, 8:].any()
    assert mask.any()


def test_a_lit_sphere_is_as_its_formula_says() -> None:
    points, triangles = sphere(80)
    light = torch.zeros(1, 9, 3)
    light[:, 2], light[:, 0] = 0.3, 0.2  # towards the camera, and from everywhere
    colors = shade(torch.full((1, len(points), 3), 0.5), points[None], light, ambient=0.0)
    clip = flat((points * torch.tensor([1.0, 1, -0.9])).tolist())
    image, _ = rasterize(clip, triangles, colors, 128)
    y, x = torch.meshgrid(centres(128), centres(128), indexing="ij")
    inner = x**2 + y**2 < 0.9**2
    z = (1 - x**2 - y**2).clamp(min=0).sqrt()
    expected = 0.5 * (0.2 * math.sqrt(math.pi) / 2 + 0.3 * math.sqrt(math.pi) * z)
    assert ((image[0] - expected).abs() / expected)[:, inner].max() < 0.005


def test_gradients_are_those_of_small_moves() -> None:
    points, triangles = sphere(4)
    clip = in_clip(points[None].double() + torch.tensor([0.1, 0.05, 0.2])).requires_grad_()
    torch.manual_seed(0)
    colors = torch.rand(1, len(points), 3).double().requires_grad_()
    visible = visible_triangles(clip, triangles, 24)

    def drawn(of_clip: Tensor, of_colors: Tensor) -> Tensor:
        return interpolate(of_colors, of_clip, triangles, visible)

    assert len(visible.pixel) > 100
    assert torch.autograd.gradcheck(drawn, (clip, colors), fast_mode=True)
    drawn(clip, colors).square().sum().backward()
    assert clip.grad is not None and clip.grad[..., :2].any()
    assert not clip.grad[..., 2].any()  # depth moves no colour


def test_a_closed_surface_has_no_hole_and_any_batch_gives_the_same() -> None:
    points, triangles = sphere(24)
    torch.manual_seed(0)
    angles = (torch.rand(60, 3) - 0.5) * 6
    clip = in_clip(points * torch.tensor([0.8, 1.1, 0.7]) @ euler_rotation(angles).mT)
    colors = torch.rand(60, len(points), 3)
    image, mask = rasterize(clip, triangles, colors, SIDE)
    for one in mask[:, 0].numpy().astype(bool):
        assert one.sum() > 500 and np.array_equal(binary_fill_holes(one), one)
    for size in (1, 7):
        split = [
            rasterize(c, triangles, k, SIDE)
            for c, k in zip(clip.split(size), colors.split(size), strict=True)
        ]
        assert torch.equal(torch.cat([found.image for found in split]), image)


def test_memory_is_bounded_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    points, triangles = sphere(12)
    clip = in_clip(points[None])
    whole = visible_triangles(clip, triangles, SIDE)
    monkeypatch.setattr(visibility, "_CANDIDATES", 100)
    parts = visible_triangles(clip, triangles, SIDE)
    assert torch.equal(whole.pixel, parts.pixel) and torch.equal(whole.triangle, parts.triangle)


def test_an_empty_picture_has_gradients_too() -> None:
    clip = flat([[4, 4, 0], [5, 4, 0], [4, 5, 0]]).requires_grad_()
    image, mask = rasterize(clip, ONE, torch.ones(1, 3, 3), SIDE)
    image.sum().backward()
    assert not mask.any() and clip.grad is not None and not clip.grad.any()
