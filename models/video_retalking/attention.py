"""L-Net's transformer: the masked face attends to itself and fetches from the reference.

Attribute names are those of the published state dicts.
"""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.tensors import FeatureMaps

Tokens = Float[Tensor, "batch token width"]  # pixels of a feature map, one after the other


class CrossAttention(nn.Module):
    """Queries and keys from the masked face, values from the reference.

    Args:
        width: Channels of a token.
        heads: Heads.
        head_width: Channels of a head.
    """

    def __init__(self, width: int, *, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_k = nn.Linear(width, heads * head_width, bias=False)
        self.to_v = nn.Linear(width, heads * head_width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_width, width))

    def forward(self, masked: Tokens, reference: Tokens) -> Tokens:
        """Tokens fetched from the reference for those of the masked face."""
        query, key, value = (
            tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)
            for tokens in (self.to_q(masked), self.to_k(masked), self.to_v(reference))
        )
        fetched = functional.scaled_dot_product_attention(query, key, value)
        found: Tensor = self.to_out(fetched.transpose(1, 2).flatten(2))
        return found


class NormedAttention(nn.Module):
    """Cross attention behind a layer norm of each input."""

    def __init__(self, width: int, attention: CrossAttention) -> None:
        super().__init__()
        self.normx = nn.LayerNorm(width)
        self.normy = nn.LayerNorm(width)
        self.fn = attention

    def forward(self, masked: Tokens, reference: Tokens) -> Tokens:
        """Tokens fetched from the reference for those of the masked face."""
        found: Tensor = self.fn(self.normx(masked), self.normy(reference))
        return found


def _feed_forward(width: int, hidden: int) -> nn.Sequential:
    """Two linear layers behind a layer norm, each token by itself."""
    layers = nn.Sequential(
        nn.Linear(width, hidden),
        nn.GELU(approximate="tanh"),
        nn.Identity(),  # in the published layers a dropout of 0
        nn.Linear(hidden, width),
    )
    return nn.Sequential(
        OrderedDict(norm=nn.LayerNorm(width), fn=nn.Sequential(OrderedDict(net=layers)))
    )


class Transformer(nn.Module):
    """Pre-norm layers of cross attention and feed-forward on feature maps.

    Args:
        width: Channels of the maps.
        depth: Layers.
        heads: Heads of the attention.
        head_width: Channels of a head.
        hidden: Width of the feed-forward.
    """

    def __init__(self, width: int, *, depth: int, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    NormedAttention(
                        width, CrossAttention(width, heads=heads, head_width=head_width)
                    ),
                    _feed_forward(width, hidden),
                ]
            )
            for _ in range(depth)
        )

    def forward(self, masked: FeatureMaps, reference: FeatureMaps) -> FeatureMaps:
        """Features of the masked face, with what was fetched from the reference."""
        tokens = masked.flatten(2).transpose(1, 2)
        other = reference.flatten(2).transpose(1, 2)
        for layer in self.layers.children():
            attend, feed = layer.children()
            tokens = attend(tokens, other) + tokens
            tokens = feed(tokens) + tokens
        return tokens.transpose(1, 2).reshape(masked.shape)
