"""PC-AVS beyond its goldens: what it refuses, training, half precision."""

import pytest
import torch
from torch import nn

from models.pc_avs.audio_encoder import AudioEncoder
from models.pc_avs.identity_encoder import IdentityEncoder
from models.pc_avs.pose_encoder import PoseEncoder
from tests.annotations import unchecked


def _without_gradient(network: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}


def test_audio_encoder_learns_on_any_duration() -> None:
    network = AudioEncoder()
    with torch.autocast("cpu", torch.bfloat16):
        feature = network(torch.rand(2, 1, 80, 36))
    assert feature.shape == (2, 512)
    feature.float().square().mean().backward()
    assert _without_gradient(network) == {"fc"}
    with unchecked(), pytest.raises(ValueError, match="80 bands"):
        network(torch.rand(2, 1, 64, 20))


def test_identity_encoder_takes_other_sizes() -> None:
    network = IdentityEncoder().eval()
    with torch.no_grad():
        identity, identity_map, scores = network(torch.rand(1, 3, 96, 64))
    assert identity.shape == (1, 2048)
    assert identity_map.shape == (1, 512, 7, 7)
    assert scores.shape == (1, 5830)


def test_pose_encoder_learns_mouth_and_pose() -> None:
    network = PoseEncoder()
    with torch.autocast("cpu", torch.bfloat16):
        feature = network(torch.rand(1, 3, 224, 224))
        style = network.merge(network.to_mouth(feature), network.to_headpose(feature))
    assert style.shape == (1, 512)
    style.float().square().mean().backward()
    assert _without_gradient(network) == {"classifier", "mouth_fc", "headpose_fc"}
    with unchecked(), pytest.raises(ValueError, match="must be 224 px"):
        network(torch.rand(1, 3, 256, 256))
