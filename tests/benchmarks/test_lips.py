"""The comparison of lips asks a landmark generator as the method does."""

from fractions import Fraction

import numpy as np
import pytest
from torch import Tensor

from benchmarks.lips import Clip, LandmarkMouths
from models.faces.mesh.align import estimate_pose
from models.faces.mesh.indices import MOUTH
from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.landmarks import FULL
from models.ip_lap.settings import LandmarkSize
from tasks.source.landmarks import mean_face

FRAMES = 30


class _FirstReference(LandmarkGenerator):
    """Says that jaw and lips are as in the first reference."""

    def forward(
        self, mels: Tensor, pose: Tensor, reference_pose: Tensor, reference_content: Tensor
    ) -> Tensor:
        return reference_content[:, 0].repeat_interleave(mels.shape[1], dim=0)


def _clip() -> Clip:
    """A still face that goes to the right."""
    drift = np.arange(FRAMES, dtype=np.float32)[:, None, None] * np.float32([1, 0, 0])
    mesh = mean_face() * np.float32(100) + np.float32([150, 150, 0]) + drift
    pose = estimate_pose(mesh, mean_face())
    return Clip(
        name="one",
        person="p",
        pts=np.arange(FRAMES, dtype=np.int64),
        time_base=Fraction(1, 25),
        scene_start=np.arange(FRAMES) == 0,
        valid=np.ones(FRAMES, bool),
        points=mesh[:, list(FULL)],
        size=(300, 300),
        pose=pose,
        mouth=pose.to_canonical(mesh)[:, list(MOUTH)],
        mel=np.zeros((FRAMES * 4, 80), np.float32),
        speech=np.zeros((FRAMES * 2, 512), np.float16),
        lag_seconds=0.0,
    )


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_still_mouth_comes_back_where_the_head_moves(elsewhere: bool) -> None:
    clip = _clip()
    generator = _FirstReference(LandmarkSize(width=32, layers=1, feedforward=32))
    made = LandmarkMouths(generator, elsewhere=elsewhere)(clip, 0.04)
    assert made.shape == clip.mouth.shape
    assert np.abs(made - clip.mouth).max() < 1e-4
