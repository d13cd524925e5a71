"""The expressions that VideoReTalking freezes faces in, as the authors publish them."""

import torch
from torch import nn

N_EXPRESSION = 64


class PublishedExpressions(nn.Module):
    """Numbers of `expression.mat`, components of expression of the Basel Face Model.

    Attributes:
        expression_center: (1, 64) neutral.
        expression_mouth: (1, 64) a smile.
    """

    def __init__(self) -> None:
        super().__init__()
        for name in ("expression_center", "expression_mouth"):
            self.register_parameter(name, nn.Parameter(torch.zeros(1, N_EXPRESSION)))
