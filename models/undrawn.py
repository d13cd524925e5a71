"""Networks whose weights come from elsewhere need not draw any: 100 million would take a second.

with undrawn():
    network = build("vrt_enet")      # parameters hold whatever the memory held
network.load_state_dict(weights)
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class _Undrawn(TorchFunctionMode):
    """Leaves out every `uniform_` and `normal_` of a parameter, also those of `torch.nn.init`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__.endswith(("uniform_", "normal_")):
            target = args[0] if args else kwargs["tensor"]
            if isinstance(target, nn.Parameter):
                return target
        return func(*args, **kwargs)


@contextmanager
def undrawn() -> Iterator[None]:
    """Parameters that are made here are not drawn; all must be overwritten.

    Buffers are as always, and torch's random numbers go on as if nothing had been built.
    """
    with torch.random.fork_rng(devices=[]), _Undrawn():
        yield
