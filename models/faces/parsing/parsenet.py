"""ParseNet of PSFRGAN (Chen et al. 2021), as facexlib has it: GFPGAN, GPEN and VideoReTalking.

Convention: RGB; 512 x 512 in use, any multiple of 16 works.
"""

from torch import nn

CLASSES = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear"),
    *("r_ear", "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""By label; BiSeNet's order is another."""
SIZE = 512


def parsenet() -> nn.Module:
    """facexlib's network: N x 3 x H x W in -1..1 → (N x 19 x H x W logits, N x 3 x H x W image)."""
    from facexlib.parsing.parsenet import ParseNet

    network = ParseNet(in_size=SIZE, out_size=SIZE, parsing_ch=len(CLASSES))
    assert isinstance(network, nn.Module)
    return network
