"""What the benchmark says of brows that a generator lowers, raises or leaves alone."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.action_units import OWN, Bytes, Face, figures, versions
from models.faces.mesh.align import Pose
from models.ganimation.action_units import UNITS
from models.ganimation.generator import Generator
from tasks.source.landmarks import mean_face
from tasks.source.mesh_detector import FaceMeshDetector, View

_INNER_BROWS, _BOX = (107, 55, 336, 285), np.array([60, 40, 140, 160])
_FACE = Face(
    frame=np.full((200, 200, 3), 100, np.uint8),
    crop=np.full((64, 64, 3), 100, np.uint8),
    box=_BOX,
    units=np.full(len(UNITS), 0.5, np.float32),
)


class DarkFrowns(FaceMeshDetector):
    """Sees a face whose inner brows are the lower, the darker its box is."""

    def __init__(self, at: tuple[float, float] = (100, 100)) -> None:
        self.at = at

    def reset(self) -> None:
        pass

    def detect(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        frame = view.whole()
        mesh = mean_face().copy()
        mesh[list(_INNER_BROWS), 1] += 0.001 * (100 - frame[100, 100].mean())
        turn, place = np.eye(3, dtype=np.float32), np.float32([*self.at, 0])
        pose = Pose(np.float32([100]), turn[None], place[None])
        return pose.to_image(mesh[None]), np.ones(1)


class DarkensByUnit4(nn.Module):
    colours, side = "bgr", 32

    def forward(self, image: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        darker = image - 20 / 127.5 * units[:, UNITS.index(4), None, None, None]
        return darker, torch.zeros_like(image[:, :1])


def made() -> dict[str, Bytes]:
    network: Generator = DarkensByUnit4()  # type: ignore[assignment]
    return versions(_FACE, network)


def test_lowered_brows_are_told_in_shares_of_their_height() -> None:
    found = figures(_FACE, made(), DarkFrowns())
    assert found is not None
    inner, outer, _, lids, levels = np.transpose([found[OWN], found["AU 4 at 1"]])
    assert levels.tolist() == [10, 20]
    assert inner[1] < 1.5 * inner[0] < -0.01
    for still in (outer, lids):
        assert still == pytest.approx([0, 0], abs=2e-3)
    assert found["all 0 (sad)"] == pytest.approx([0] * 5, abs=2e-3)
    assert found["AU 4 at 0.3 (angry)"][0] == pytest.approx(0.3 * inner[1], rel=0.05)


def test_a_face_elsewhere_is_not_taken_for_it() -> None:
    assert figures(_FACE, made(), DarkFrowns(at=(30, 30))) is None
