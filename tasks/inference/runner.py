"""One way to run any network over a stored sequence.

    runner = Runner(network, settings, precision="float32")
    for made in runner.map(blocks):     # blocks: tuples of arrays with one row per sample
        ...                             # made: the network's output for the block, same rows

Batches never cross blocks, so that a block comes out the same whatever was computed before it.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.engine.device_settings import DeviceSettings, Precision
from tasks.inference.device import choose_device, fitting_batch, is_out_of_memory
from tasks.inference.prefetch import prefetched
from tasks.inference.threads import all_processors

Arrays = Sequence[NDArray[Any]]

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_busy: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""One network at a time on a device: ranges that run side by side only read side by side."""


@dataclass
class _Launched:
    """Outputs of a block, possibly still on their way from the device."""

    parts: list[Tensor]
    arrived: torch.cuda.Event | None

    def array(self) -> NDArray[Any]:
        if self.arrived is not None:
            self.arrived.synchronize()
        return np.concatenate([part.numpy() for part in self.parts])


class Runner:
    """Runs a network on the chosen device, as many samples at once as fit.

    Args:
        network: Takes one tensor per array of a block, gives one tensor; first axes are samples.
            It is moved to the device and kept in channels-last layout.
        settings: Device, batch, compilation.
        precision: float32, or what autocast computes convolutions and products in.

    Attributes:
        device: Where it runs.
        precision: In which it runs.
        batch: Samples at once; 0 until the first block.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: DeviceSettings,
        *,
        precision: Precision = "float32",
    ) -> None:
        self.device = choose_device(settings.device)
        self.precision = precision
        self.batch = settings.batch
        self._network = channels_last(network.eval().requires_grad_(False).to(self.device))
        self._call: Callable[..., Tensor] = self._network
        if settings.compile:
            self._call = torch.compile(self._network)
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # float32 shall mean it

    def map(self, blocks: Iterable[Arrays]) -> Iterator[NDArray[Any]]:
        """The output of each block, in order; the next block is read meanwhile.

        Args:
            blocks: Arrays with one row per sample, the same number in each of a block.
        """
        before: _Launched | None = None
        for tensors in prefetched(blocks, self._host_tensors):
            launched = self._launch(tensors)
            if before is not None:
                yield before.array()
            before = launched
        if before is not None:
            yield before.array()

    def error(self, sample: Arrays) -> float:
        """Root mean square difference from float32, in units of the output, of what it makes.

        Args:
            sample: A block, as of `map`.

        Returns:
            Infinity where half precision overflowed.
        """
        tensors = self._host_tensors(sample)
        made = self._launch(tensors).array().astype(np.float32)
        exact = self._launch(tensors, exactly=True).array().astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            error = float(np.sqrt(np.square(made - exact).mean()))
        return error if np.isfinite(error) else float("inf")

    def _host_tensors(self, arrays: Arrays) -> list[Tensor]:
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        if self.device.type == "cuda":
            return [tensor.pin_memory() for tensor in tensors]
        return tensors

    def _launch(self, tensors: list[Tensor], *, exactly: bool = False) -> _Launched:
        parts: list[Tensor] = []
        with _busy[str(self.device)], torch.inference_mode():
            if self.device.type == "cpu":
                all_processors()
            start, rows = 0, len(tensors[0])
            while start < rows:
                first = [tensor[start : start + 1] for tensor in tensors]
                self.batch = self.batch or fitting_batch(
                    self._network, self._on_device(first), self.device
                )
                try:
                    part = [tensor[start : start + self.batch] for tensor in tensors]
                    parts.append(self._forward(part, exactly=exactly))
                except RuntimeError as error:
                    if not is_out_of_memory(error) or self.batch == 1:
                        raise
                    self.batch = max(1, min(self.batch, rows - start) // 2)
                    if self.device.type == "cuda":
                        torch.cuda.empty_cache()
                    continue
                start += len(part[0])
            arrived = None
            if self.device.type == "cuda":
                arrived = torch.cuda.current_stream(self.device).record_event()
        return _Launched(parts, arrived)

    def _forward(self, part: list[Tensor], *, exactly: bool) -> Tensor:
        inputs = self._on_device(part)
        if exactly:
            made: Tensor = self._network(*inputs)
        else:
            with self._autocast():
                made = self._call(*inputs)
        if made.dtype in _DTYPES.values():
            made = made.float()
        if self.device.type != "cuda":
            return made.cpu()
        host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
        return host.copy_(made, non_blocking=True)

    def _on_device(self, tensors: list[Tensor]) -> list[Tensor]:
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, _DTYPES[self.precision])


def channels_last(network: nn.Module) -> nn.Module:
    """Convolution weights in the layout that devices convolve fastest in; others stay."""
    for parameter in network.parameters():
        if parameter.ndim == 4:  # StyleGAN2's modulated weights have five axes
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
