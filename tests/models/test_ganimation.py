"""GANimation: action units of meshes, the critic, sizes, losses."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.faces.mesh.align import Pose, estimate_pose
from models.ganimation.action_units import UNITS, action_units, face_measures
from models.ganimation.critic import Critic
from models.ganimation.generator import Generator
from models.ganimation.settings import GANimationSize
from models.ganimation.training import (
    GANimationWeights,
    critic_loss,
    critic_losses,
    generator_loss,
)
from models.published import build_trained
from models.video_retalking.speaker import acted
from tasks.source.landmarks import mean_face

INNER_BROWS, OUTER_BROWS = [107, 55, 336, 285], [70, 46, 300, 276]
RIGHT_BROW, LEFT_BROW = [107, 55], [336, 285]
UPPER_LIDS = [158, 159, 160, 385, 386, 387]
MOUTH_CORNERS, LOWER_LIP = [61, 291], [14]


def units_of(mesh: NDArray[np.float32]) -> dict[int, float]:
    """Units above 0 of a canonical mesh, relative to the mean face's."""
    rest = face_measures(mean_face()[None])[0]
    (found,) = action_units(face_measures(mesh[None]), rest)
    return {unit: float(value) for unit, value in zip(UNITS, found, strict=True) if value > 1e-3}


def moved(points: list[int], *, x: float = 0.0, y: float = 0.0) -> NDArray[np.float32]:
    mesh = mean_face().copy()
    mesh[points, :2] += np.float32([x, y])
    return mesh


@pytest.mark.parametrize(
    ("points", "down", "wanted"),
    [
        (INNER_BROWS, 0.02, {4}),
        (INNER_BROWS, -0.02, {1}),
        (OUTER_BROWS, -0.02, {2}),
        (UPPER_LIDS, -0.01, {5}),
        (UPPER_LIDS, 0.01, {45}),
        (MOUTH_CORNERS, -0.02, {12}),
        (LOWER_LIP, 0.04, {25, 26}),
    ],
)
def test_each_part_of_a_face_raises_its_own_units(
    points: list[int], down: float, wanted: set[int]
) -> None:
    found = units_of(moved(points, y=down))
    assert found.keys() == wanted
    assert all(0.2 < value < 0.8 for value in found.values())
    assert all(value == 1 for value in units_of(moved(points, y=20 * down)).values())


def test_brows_that_draw_together_frown() -> None:
    mesh = moved(RIGHT_BROW, x=0.005)
    mesh[LEFT_BROW, 0] -= 0.005
    assert units_of(mesh) == {4: pytest.approx(0.25, abs=0.02)}


def test_pose_is_no_expression() -> None:
    frown = moved(INNER_BROWS, y=0.02)
    c, s = np.cos(0.4), np.sin(0.4)
    turn = np.float32([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.float32(
        [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    )
    pose = Pose(np.float32([180]), turn[None].astype(np.float32), np.float32([[300, 200, 5]]))
    seen = pose.to_image(frown[None])
    found = estimate_pose(seen, mean_face()).to_canonical(seen)
    assert units_of(found[0]) == pytest.approx(units_of(frown), abs=1e-3)


@pytest.mark.parametrize(("side", "convs"), [(128, 6), (64, 5), (32, 4)])
def test_the_critic_halves_faces_down_to_four_patches(side: int, convs: int) -> None:
    critic = Critic(GANimationSize(side=side, width=4))
    layers = [m for m in critic.model if isinstance(m, nn.Conv2d)]
    assert len(layers) == convs
    assert layers[-1].out_channels == 4 * 2 ** (convs - 1)
    score, units = critic(torch.zeros(2, 3, side, side))
    assert (score.shape, units.shape) == ((2, 1, 2, 2), (2, 17))
    assert critic.real_top.bias is critic.au_top.bias is None


def test_the_published_critic_ends_in_2048_channels() -> None:
    with torch.device("meta"):
        assert Critic().au_top.weight.shape == (17, 2048, 2, 2)


def test_a_small_generator_keeps_its_size_and_order() -> None:
    size = {"side": 32, "width": 4, "residuals": 1, "colours": "rgb"}
    network = build_trained("ganimation_generator", size)
    assert isinstance(network, Generator)
    assert (network.side, network.colours) == (32, "rgb")
    layers = network(torch.zeros(1, 3, 32, 32), torch.zeros(1, 17))
    assert layers.color.shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="side"):
        build_trained("ganimation_generator", {"side": 48})


@pytest.mark.parametrize("colours", ["bgr", "rgb"])
def test_a_network_is_shown_its_own_colours_and_side(colours: str) -> None:
    seen: list[Tensor] = []

    class Red(nn.Module):
        side = 32

        def forward(self, image: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(image)
            color = torch.full_like(image, -1)
            color[:, 0 if self.colours == "rgb" else 2] = 1
            return color, torch.zeros_like(image[:, :1])

    network = Red()
    network.colours = colours  # type: ignore[assignment]
    blue = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    blue[..., 0] = 255
    made = acted(network, blue, torch.zeros(1, 17))
    assert seen[0].shape == (1, 3, 32, 32)
    assert seen[0][0, :, 0, 0].tolist() == ([-1, -1, 1] if colours == "rgb" else [1, -1, -1])
    assert made[0, 0, 0].tolist() == [0, 0, 255]
    half = acted(network, blue, torch.zeros(1, 17), strength=0.5)
    assert half[0, 0, 0].tolist() == [128, 0, 128]


class _Linear(nn.Module):
    """A critic whose gradient is the same everywhere, of norm 3."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        flat = image.flatten(1)
        score = 3 * flat.sum(1) / flat.shape[1] ** 0.5
        return score[:, None, None, None].expand(-1, 1, 2, 2), flat[:, :17]


def test_losses_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    real, made, units = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8), torch.rand(4, 17)
    parts = critic_losses(_Linear(), real, made, units, torch.rand(4))
    scores = [3 * each.flatten(1).sum(1) / 192**0.5 for each in (real, made)]
    torch.testing.assert_close(parts["real"], -scores[0].mean())
    torch.testing.assert_close(parts["made"], scores[1].mean())
    torch.testing.assert_close(parts["penalty"], torch.tensor(4.0))
    read = (real.flatten(1)[:, :17] - units).square().mean()
    torch.testing.assert_close(parts["read_units"], read)
    wanted = scores[1].mean() - scores[0].mean() + 160 * read + 10 * 4
    torch.testing.assert_close(critic_loss(parts, GANimationWeights()), wanted)
    told = {"adversarial": 2.0, "units": 0.5, "cycle": 3.0}
    of_generator = {name: torch.tensor(value) for name, value in told.items()}
    assert generator_loss(of_generator, GANimationWeights()) == 2 + 80 + 30
