"""The processes that train together: torch.distributed, started here or by torchrun."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from stores.errors import TrainingError
from tasks.inference.device import choose_device
from tasks.inference.threads import share_of


@dataclass(frozen=True)
class Rank:
    """One of the processes.

    Attributes:
        number: From 0; 0 validates, writes and talks.
        world: How many there are.
        device: Where it computes.
    """

    number: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that validates, writes and talks."""
        return self.number == 0

    def any(self, flag: bool) -> bool:
        """Whether it holds in any of the processes; all must ask."""
        if self.world == 1:
            return flag
        told = torch.tensor([int(flag)], device=self.device)
        distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
        return bool(told.item())

    def from_leader(self, value: float) -> float:
        """The leading process's number, in all of them."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, 0)
        return float(told.item())


def run_ranks(work: Callable[[Rank], None], *, processes: int, device: str) -> None:
    """Do a work in so many processes and wait for all.

    One process is this one. Under torchrun this one is of torchrun's, whatever was asked for.

    Args:
        work: Can be pickled if there are several processes.
        device: auto, cpu, cuda or mps; on CUDA each process has a GPU of its own.

    Raises:
        TrainingError: the work failed in one of several processes; the others are ended.
    """
    if (launched := launched_by_torchrun()) is not None:
        _join(work, *launched, int(os.environ["LOCAL_RANK"]), device, "env://")
    elif processes == 1:
        work(Rank(0, 1, choose_device(device)))
    else:
        with tempfile.TemporaryDirectory() as folder, _left_to_the_processes():
            meeting = (Path(folder) / "meeting").as_uri()
            given = (work, processes, device, meeting)
            try:
                spawn(_begin, given, nprocs=processes)  # type: ignore[no-untyped-call]
            except ProcessRaisedException as error:
                reason = str(error).strip().splitlines()[-1]
                raise TrainingError(f"process {error.error_index} failed: {reason}") from error


def launched_by_torchrun() -> tuple[int, int] | None:
    """Number of this process and how many torchrun has started; None if it has not."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _begin(
    number: int, work: Callable[[Rank], None], world: int, device: str, meeting: str
) -> None:
    share_of(world)
    _join(work, number, world, number, device, meeting)


def _join(
    work: Callable[[Rank], None], number: int, world: int, local: int, device: str, meeting: str
) -> None:
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting, rank=number, world_size=world)
    try:
        work(Rank(number, world, chosen))
    finally:
        distributed.destroy_process_group()


@contextmanager
def _left_to_the_processes() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; this one waits until the others have saved."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
