"""The runner: order, batches, memory, precision, and that reading never blocks or outlives it."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stores.errors import SettingsError
from tasks.engine.device_settings import DeviceSettings
from tasks.inference import device as device_module
from tasks.inference.device import MAX_BATCH, choose_device, fitting_batch
from tasks.inference.prefetch import prefetched
from tasks.inference.runner import Runner

CPU = DeviceSettings(device="cpu")


class Counting(nn.Module):
    """Doubles its input; notes the batches, and has no room for more than `room` samples."""

    def __init__(self, room: int = 1000, error: str = "CUDA out of memory") -> None:
        super().__init__()
        self.room, self.error = room, error
        self.batches: list[int] = []

    def forward(self, samples: Tensor) -> Tensor:
        self.batches.append(len(samples))
        if len(samples) > self.room:
            raise RuntimeError(self.error)
        return samples * 2


def blocks(*sizes: int) -> list[tuple[np.ndarray, ...]]:
    edges = np.cumsum([0, *sizes])
    return [(np.arange(a, b, dtype=np.float32)[:, None],) for a, b in pairwise(edges)]


def test_outputs_follow_the_blocks_whatever_the_batch() -> None:
    given = blocks(5, 1, 7)
    runner = Runner(Counting(), DeviceSettings(device="cpu", batch=3))
    made = list(runner.map(given))
    assert [len(part) for part in made] == [5, 1, 7]
    np.testing.assert_array_equal(np.concatenate(made)[:, 0], 2 * np.arange(13))


def test_batches_never_cross_blocks() -> None:
    network = Counting()
    runner = Runner(network, DeviceSettings(device="cpu", batch=4))
    list(runner.map(blocks(6, 6)))
    assert network.batches == [4, 2, 4, 2]


@pytest.mark.parametrize(
    "error", ["CUDA out of memory", "DefaultCPUAllocator: can't allocate memory"]
)
def test_out_of_memory_halves_the_batch_and_goes_on(error: str) -> None:
    network = Counting(room=3, error=error)
    runner = Runner(network, DeviceSettings(device="cpu", batch=16))
    made = np.concatenate(list(runner.map(blocks(16, 16))))
    np.testing.assert_array_equal(made[:, 0], 2 * np.arange(32))
    assert runner.batch == 2
    assert network.batches[:4] == [16, 8, 4, 2]


def test_an_error_that_is_not_memory_is_raised() -> None:
    runner = Runner(Counting(room=0, error="shapes differ"), DeviceSettings(device="cpu", batch=2))
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(runner.map(blocks(4)))


def test_one_sample_that_does_not_fit_is_an_error() -> None:
    runner = Runner(Counting(room=0), DeviceSettings(device="cpu", batch=2))
    with pytest.raises(RuntimeError, match="out of memory"):
        list(runner.map(blocks(4)))


@pytest.mark.parametrize("fitting", [1, 5, 10_000])
def test_the_batch_follows_the_free_memory(fitting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    sample = (torch.zeros(1, 1, 32, 32),)
    per_sample = 2 * 4 * 32 * 32 * 4
    cpu = torch.device("cpu")
    monkeypatch.setattr(device_module, "free_bytes", lambda _: fitting * per_sample * 4 + 8)
    assert fitting_batch(network, sample, cpu) == min(fitting, MAX_BATCH["cpu"])


def test_what_half_precision_costs_is_measured() -> None:
    torch.manual_seed(0)
    block = (np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32),)
    network = nn.Linear(8, 8)
    exact = network(torch.from_numpy(block[0])).detach().numpy()
    runner = Runner(network, DeviceSettings(device="cpu", batch=3), precision="bfloat16")
    (half,) = runner.map([block])
    error = runner.error(block)
    assert 0 < error < 0.05
    assert error == pytest.approx(np.sqrt(np.square(half - exact).mean()))
    assert Runner(network, CPU).error(block) == 0
    assert Runner(network, CPU, precision="float16").error((1e6 * block[0],)) == float("inf")


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(SettingsError, match="--device cuda: torch finds none"):
        choose_device("cuda")
    assert choose_device("auto").type in ("cpu", "mps")


def test_prefetching_raises_what_reading_raises() -> None:
    def reading() -> Iterator[int]:
        yield 1
        raise ValueError("a damaged chunk")

    ahead = prefetched(reading(), lambda item: item + 1)
    assert next(ahead) == 2
    with pytest.raises(ValueError, match="a damaged chunk"):
        next(ahead)


def test_prefetching_ends_with_its_reader() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 0

    ahead = prefetched(endless(), lambda item: item)
    next(ahead)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_weights_with_five_axes_keep_their_layout() -> None:
    class Modulated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, 2, 2, 3, 3))

        def forward(self, image: Tensor) -> Tensor:
            return image * self.weight.mean()

    image = np.ones((2, 3, 4, 4), np.float32)
    (made,) = Runner(Modulated(), CPU).map([(image,)])
    np.testing.assert_array_equal(made, image)
