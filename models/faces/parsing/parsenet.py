"""ParseNet of PSFRGAN (Chen et al. 2021), as facexlib has it: GFPGAN, GPEN and VideoReTalking.

Convention: RGB; 512 x 512 in use, any multiple of 16 works.
"""

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

CLASSES = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
"""By label; BiSeNet's order is another."""
SIZE = 512


def parsenet() -> nn.Module:
    """facexlib's network: N x 3 x H x W in -1..1 → (N x 19 x H x W logits, N x 3 x H x W image)."""
    from facexlib.parsing.parsenet import ParseNet

    network = ParseNet(in_size=SIZE, out_size=SIZE, parsing_ch=len(CLASSES))
    assert isinstance(network, nn.Module)
    return network


class FaceLabeller(nn.Module):
    """ParseNet on 8-bit images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: UInt8[Tensor, "n h w 3"]) -> UInt8[Tensor, "n h w"]:
        """Labels (rows of CLASSES) of RGB faces."""
        logits: Tensor = self.network(faces.permute(0, 3, 1, 2) / 127.5 - 1)[0]
        return logits.argmax(1).to(torch.uint8)
