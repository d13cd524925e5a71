"""Steps a second of the recipes at the paper's size, against what the device can multiply.

    python -m benchmarks.train [--device cuda] [--seconds 10]

The trainer's own loop (optimizers, critic, averages) on one batch of drawn numbers that lies on
the device, so that reading and drawing data is left out. The share of the peak counts the
arithmetic of convolutions and matrix products, forward and backward, against a product of 8192 x
8192 matrices in the same numbers (4096 on a CPU).
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.command import command_parser, table
from benchmarks.networks import peak_flops, waited
from models.ip_lap.perceptual import PerceptualLoss, Vgg19
from tasks.training.checkpoint import Checkpoints
from tasks.training.ip_lap_landmarks import LandmarkRecipe, LandmarkSettings
from tasks.training.ip_lap_renderer import RendererRecipe, RendererSettings
from tasks.training.loop import Training
from tasks.training.ranks import Rank
from tasks.training.recipe import Batch, Data, NoTrainingObserver, Sample
from tasks.training.settings import TrainerSettings

PAPER_STEPS = 610_000
WARM_UP_STEPS = 8


class _DrawnLandmarks(LandmarkRecipe):
    """Batches of the paper's size, drawn once."""

    size = 128

    def __init__(self) -> None:
        super().__init__(LandmarkSettings.model_validate({}))
        self._batch: Batch = {}

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        n = self.size
        shapes = {
            "mel": (n, 5, 1, 80, 16),
            "pose": (n, 5, 2, 74),
            "content": (n, 5, 2, 57),
            "reference_pose": (n, 15, 2, 74),
            "reference_content": (n, 15, 2, 57),
        }
        self._batch = self._batch or _drawn(shapes, device)
        return self._batch


class _DrawnFaces(RendererRecipe):
    """Batches of the paper's size, drawn once; VGG19 with drawn weights."""

    size = 96

    def __init__(self) -> None:
        self._settings = RendererSettings(warm_up=0)
        self._batch: Batch = {}

    def frozen(self) -> dict[str, torch.nn.Module]:
        return {"perceptual": PerceptualLoss(Vgg19())}

    def batch(self, sample: Sample, device: torch.device, rng: np.random.Generator | None) -> Batch:
        n = self.size
        shapes = {
            "face": (n, 1, 3, 128, 128),
            "sketches": (n, 5, 3, 128, 128),
            "references": (n, 3, 3, 128, 128),
            "reference_sketches": (n, 3, 3, 128, 128),
            "mel": (n, 1, 1, 80, 16),
        }
        self._batch = self._batch or _drawn(shapes, device)
        return self._batch


class _Nothing:
    """A loader whose samples are empty."""

    def __init__(self) -> None:
        self._given = 0

    def __iter__(self) -> Iterator[Sample]:
        self._given += 1
        yield {}

    def state_dict(self) -> dict[str, Any]:
        return {"given": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._given = state["given"]


class _Clock(NoTrainingObserver):
    """Times steps after the first few, and ends the run when there are enough."""

    def __init__(self, device: torch.device, seconds: float) -> None:
        self._device, self._seconds = device, seconds
        self._start = 0.0
        self.steps_per_second = 0.0

    def step(self, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        if step == WARM_UP_STEPS:
            waited(self._device)
            self._start = time.perf_counter()
        if step > WARM_UP_STEPS and (step - WARM_UP_STEPS) % 8 == 0:
            waited(self._device)
            spent = time.perf_counter() - self._start
            if spent > self._seconds:
                self.steps_per_second = (step - WARM_UP_STEPS) / spent
                raise _Enough


class _Enough(Exception):
    pass


def _drawn(shapes: Mapping[str, tuple[int, ...]], device: torch.device) -> dict[str, Tensor]:
    return {name: torch.rand(shape, device=device) for name, shape in shapes.items()}


def measure(recipe: Any, *, precision: str, rank: Rank, seconds: float) -> tuple[float, float]:
    """Steps a second, and the arithmetic of a step [FLOP]."""
    settings = TrainerSettings.model_validate(
        {
            "steps": 10**6,
            "batch_size": recipe.size,
            "precision": precision,
            "log_every": 10**6,
            "validate_every": 10**6,
            "checkpoint_every": 10**6,
        }
    )
    clock = _Clock(rank.device, seconds)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            recipe,
            Data(lambda number, world: _Nothing(), None, {}, ""),
            settings,
            checkpoints=Checkpoints(Path(folder)),
            rank=rank,
            watch=clock,
            board=None,
        )
        with contextlib.suppress(_Enough):
            training.run()
        with FlopCounterMode(display=False) as counter:
            training._step(training._prepared((0, [{}], {})))
    return clock.steps_per_second, float(counter.get_total_flops())


def main() -> None:
    """Print the table."""
    parser = command_parser(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    rank = Rank(0, 1, device)
    torch.set_float32_matmul_precision("high")
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{on}, torch {torch.__version__}; float32 products in TF32 on a GPU")
    head = "recipe|batch|numbers|steps/s|TFLOP/step|TFLOP/s|of the peak|hours to 610,000 steps"
    table(head.split("|"), _rows(rank, chosen.seconds))


def _rows(rank: Rank, seconds: float) -> Iterator[list[str]]:
    for kind in ["float32", "bfloat16"] + (["float16"] if rank.device.type == "cuda" else []):
        most = peak_flops(rank.device, getattr(torch, kind))
        for recipe in (_DrawnLandmarks(), _DrawnFaces()):
            pace, flops = measure(recipe, precision=kind, rank=rank, seconds=seconds)
            rate = pace * flops
            yield [
                *(recipe.name, f"{recipe.size}", kind, f"{pace:.2f}", f"{flops / 1e12:.3f}"),
                *(f"{rate / 1e12:.2f}", f"{100 * rate / most:.1f} % of {most / 1e12:.1f}"),
                f"{PAPER_STEPS / pace / 3600:.1f}",
            ]


if __name__ == "__main__":
    main()
