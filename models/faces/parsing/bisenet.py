"""BiSeNet for faces (Yu et al. 2018, zllrunning/face-parsing.PyTorch), as facexlib has it."""

from torch import nn

CLASSES = (
    *("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear"),
    *("ear_r", "nose", "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat"),
)
"""By label; ParseNet's order is another."""
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the input: RGB in 0..1, less MEAN, over STD; 512 x 512 in use, multiples of 32 work."""


def bisenet() -> nn.Module:
    """facexlib's network: N x 3 x H x W → three of N x 19 x H x W logits.

    The first answers; the others come from 1/8 and 1/16 of the size and served training.
    """
    from facexlib.parsing.bisenet import BiSeNet

    network = BiSeNet(num_class=len(CLASSES))
    assert isinstance(network, nn.Module)
    return network
