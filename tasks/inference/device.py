"""Which device a network runs on, and how many samples fit into its memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch
from torch import Tensor, nn

from stores.errors import SettingsError

MAX_BATCH = {"cpu": 16, "mps": 32, "cuda": 128}
"""More samples at once gain nothing on these devices, and hold memory."""

_SHARE = {"cpu": 0.25, "mps": 0.25, "cuda": 0.8}
"""Of the free memory: on a CPU other work and other workers want some too."""


def choose_device(name: str) -> torch.device:
    """The device of that name.

    Args:
        name: auto, cpu, cuda or mps.

    Raises:
        SettingsError: this machine has none.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": _has_mps()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        usable = ", ".join(kind for kind, found in there.items() if found)
        raise SettingsError(f"--device {name}: torch finds none on this machine; it finds {usable}")
    return torch.device(name)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def fitting_batch(network: nn.Module, sample: Sequence[Tensor], device: torch.device) -> int:
    """How many samples the free memory of the device takes, at most MAX_BATCH.

    Args:
        network: In eval mode, on the device.
        sample: Its inputs for one sample, on the device.
    """
    needed = _bytes_per_sample(network, sample, device)
    room = _SHARE[device.type] * free_bytes(device)
    return int(max(1, min(MAX_BATCH[device.type], room // max(needed, 1))))


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had [byte]."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    return int(psutil.virtual_memory().available)


def _bytes_per_sample(network: nn.Module, sample: Sequence[Tensor], device: torch.device) -> int:
    """Peak on CUDA; elsewhere all that the layers put out, which is more than the peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        network(*sample)
        return torch.cuda.max_memory_allocated(device) - before
    with _counted_outputs(network) as total:
        network(*sample)
    return total[0]


@contextmanager
def _counted_outputs(network: nn.Module) -> Iterator[list[int]]:
    total = [0]

    def count(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            total[0] += output.numel() * output.element_size()

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        yield total
    finally:
        for hook in hooks:
            hook.remove()


def is_out_of_memory(error: RuntimeError) -> bool:
    """The device had no room, whichever way torch says so."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in text for sign in ("can't allocate memory", "out of memory")
    )
