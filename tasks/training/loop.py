"""The loop: steps, validations and checkpoints of a recipe, in one of the processes that train."""

import contextlib
import copy
import itertools
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stores.errors import SettingsError, TrainingError
from tasks.inference.prefetch import prefetched
from tasks.training.board import Board
from tasks.training.checkpoint import Checkpoints, State
from tasks.training.ranks import Rank
from tasks.training.recipe import (
    Batch,
    BoardMedia,
    Data,
    Gated,
    Recipe,
    Resting,
    Sample,
    TrainingObserver,
    Validation,
)
from tasks.training.settings import TrainerSettings

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_AVERAGE_START = 10
"""The average follows quickly at first: it would keep the random start for a thousand steps."""


@dataclass(frozen=True)
class _Ahead:
    """What a step takes, prepared before it is its turn."""

    parts: list[Batch]
    position: dict[str, Any]


class Training:
    """One process's share of a training.

    Args:
        recipe: What is trained.
        data: What on.
        settings: How.
        checkpoints: Where it is taken up and kept.
        rank: Which process this is.
        watch: Who looks on; asked in the leading process only.
        board: Where curves and pictures go; None in the other processes.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        settings: TrainerSettings,
        *,
        checkpoints: Checkpoints,
        rank: Rank,
        watch: TrainingObserver,
        board: Board | None,
    ) -> None:
        self._recipe, self._data, self._settings = recipe, data, settings
        self._checkpoints, self._rank, self._watch, self._board = checkpoints, rank, watch, board
        device = rank.device
        if settings.precision == "float16" and device.type != "cuda":
            raise SettingsError(f"precision float16 needs CUDA, not {device.type}; take bfloat16")
        torch.manual_seed(_drawn(settings.seed, 0, 0, "networks"))
        self._networks = {name: n.to(device) for name, n in recipe.networks().items()}
        if not checkpoints.steps():
            _begin_with(data.initial(), self._networks)
        self._frozen = {name: n.to(device).eval() for name, n in recipe.frozen().items()}
        for network in self._frozen.values():
            network.requires_grad_(False)
        self._learned = {
            phase: [p for p in self._networks[phase].parameters() if p.requires_grad]
            for phase in recipe.phases
        }
        self._averages = {
            name: copy.deepcopy(network).eval().requires_grad_(False)
            for name, network in self._networks.items()
            if settings.ema_decay is not None
        }
        self._optimizers = self._new_optimizers()
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "float16")
        self._loader = data.training(rank.number, rank.world)
        self.state = self._begin()
        self._trained = self._wrapped()
        self._noted: dict[str, list[Tensor]] = {}

    def run(self) -> State:
        """Train to the end.

        Raises:
            KeyboardInterrupt: after a checkpoint, if the user or the system asked for the end.
            TrainingError: the loss is no number any more.
        """
        settings, state = self._settings, self.state
        started, before = time.perf_counter(), state.seconds
        if self._rank.leads:
            self._watch.begin(settings.steps, state.step)
        with _arithmetic(settings), _asked_to_stop() as stop:
            ahead = prefetched(self._samples(), self._prepared)
            try:
                while state.step < settings.steps and not self._patience_is_over():
                    self._step(next(ahead))
                    state.seconds = before + time.perf_counter() - started
                    self._after_step()
                    if self._rank.any(stop.asked) and state.step < settings.steps:
                        self._save()
                        raise KeyboardInterrupt
            finally:
                ahead.close()
                if self._rank.leads:
                    self._watch.end()
            self._save()
        return state

    # Beginning.

    def _begin(self) -> State:
        """The state after the last checkpoint, or a new one."""
        steps = self._checkpoints.steps()
        if not steps:
            return State()
        state = self._checkpoints.load(steps[-1], self._networks, self._averages, self._optimizers)
        self._loader.load_state_dict(state.data)
        for found in state.validations:
            self._tell_gate(found)
        if state.scaler:
            self._scaler.load_state_dict(state.scaler)
        return state

    def _new_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        made = {p: self._recipe.optimizer(p, self._learned[p]) for p in self._recipe.phases}
        for optimizer in made.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        return made

    def _wrapped(self) -> dict[str, nn.Module]:
        """What the losses of a phase run its own network through."""
        if self._rank.world == 1:
            return self._networks
        where = [self._rank.device.index] if self._rank.device.type == "cuda" else None
        return {
            phase: DistributedDataParallel(self._networks[phase], device_ids=where)
            for phase in self._recipe.phases
        }

    # Data.

    def _samples(self) -> Iterator[tuple[int, list[Sample], dict[str, Any]]]:
        """Of each step: its number, its samples, and where the loader stands after it."""
        batches = self._epochs()
        for step in range(self.state.step, self._settings.steps):
            samples = [next(batches) for _ in range(self._settings.accumulate)]
            yield step, samples, self._loader.state_dict()

    def _epochs(self) -> Iterator[Sample]:
        while True:
            before = self._loader.state_dict()
            yield from self._loader
            if self._loader.state_dict() == before:
                raise TrainingError("an epoch gave no batch; take smaller batches or more data")

    def _prepared(self, given: tuple[int, list[Sample], dict[str, Any]]) -> _Ahead:
        step, samples, position = given
        rank = self._rank
        parts = []
        for part, sample in enumerate(samples):
            rng = np.random.default_rng([self._settings.seed, step, rank.number, part])
            parts.append(self._recipe.batch(sample, rank.device, rng))
        return _Ahead(parts, position)

    # A step.

    def _step(self, given: _Ahead) -> None:
        recipe, state = self._recipe, self.state
        torch.manual_seed(_drawn(self._settings.seed, state.step, self._rank.number, "step"))
        if state.step in recipe.restarts:
            self._optimizers = self._new_optimizers()
        factor = recipe.schedule(state.step)
        for group in self._groups():
            group["lr"] = group["initial_lr"] * factor
        carried: list[dict[str, Tensor]] = [{} for _ in given.parts]
        for phase in recipe.phases:
            if not (isinstance(recipe, Resting) and recipe.rests(phase, state.step)):
                self._learn(phase, given.parts, carried)
        self._scaler.update()
        self._average()
        state.step += 1
        state.data = given.position

    def _learn(
        self, phase: str, parts: Sequence[Batch], carried: Sequence[dict[str, Tensor]]
    ) -> None:
        """One step of one phase's optimizer."""
        for other, parameters in self._learned.items():
            for parameter in parameters:
                parameter.requires_grad_(other == phase)
        networks = {**self._networks, **self._frozen, phase: self._trained[phase]}
        optimizer = self._optimizers[phase]
        optimizer.zero_grad(set_to_none=True)
        for number, (batch, kept) in enumerate(zip(parts, carried, strict=True)):
            with self._gradients_shared(phase, last=number == len(parts) - 1):
                with self._autocast():
                    loss, told = self._recipe.loss(phase, networks, batch, self.state.step, kept)
                self._scaler.scale(loss / len(parts)).backward()  # type: ignore[no-untyped-call]
            for name, value in {phase: loss, **told}.items():
                self._noted.setdefault(name, []).append(value.detach().float())
        if self._settings.max_gradient is not None:
            self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self._learned[phase], self._settings.max_gradient)
        self._scaler.step(optimizer)

    def _gradients_shared(self, phase: str, *, last: bool) -> AbstractContextManager[None]:
        """Processes add up their gradients with the last part only."""
        network = self._trained[phase]
        if last or not isinstance(network, DistributedDataParallel):
            return contextlib.nullcontext()
        return network.no_sync()

    def _autocast(self) -> torch.autocast:
        precision = self._settings.precision
        return torch.autocast(
            self._rank.device.type, _TYPES[precision], enabled=precision != "float32"
        )

    @torch.no_grad()
    def _average(self) -> None:
        decay = self._settings.ema_decay
        if decay is None:
            return
        decay = min(decay, (1 + self.state.step) / (_AVERAGE_START + self.state.step))
        for name, average in self._averages.items():
            ours, theirs = average.state_dict(), self._networks[name].state_dict()
            for key, value in theirs.items():
                if value.is_floating_point():
                    ours[key].lerp_(value, 1 - decay)
                else:
                    ours[key].copy_(value)

    def _groups(self) -> Iterator[dict[str, Any]]:
        for optimizer in self._optimizers.values():
            yield from optimizer.param_groups

    # Between steps.

    def _after_step(self) -> None:
        settings, step = self._settings, self.state.step
        last = step == settings.steps
        if self._rank.leads:
            self._watch.step(step, self._losses)
        if step % settings.log_every == 0 or last:
            self._log()
        improved = False
        if step % settings.validate_every == 0 or last:
            improved = self._validate()
        if improved or step % settings.checkpoint_every == 0:
            self._save()

    def _losses(self) -> dict[str, float]:
        """Mean losses since they were logged last."""
        return {name: float(torch.stack(found).mean()) for name, found in self._noted.items()}

    def _log(self) -> None:
        losses = self._check()
        self._noted = {}
        if self._board is not None:
            rates = {phase: o.param_groups[0]["lr"] for phase, o in self._optimizers.items()}
            self._board.losses(self.state.step, losses, rates, seconds=self.state.seconds)

    def _check(self) -> dict[str, float]:
        """The losses; nothing goes on or is saved after one that is no number."""
        losses = self._losses()
        if not all(math.isfinite(loss) for loss in losses.values()):
            told = ", ".join(f"{name} {loss:g}" for name, loss in losses.items())
            raise TrainingError(
                f"step {self.state.step}: the loss is no number any more ({told}); lower the "
                "learning rate, limit max_gradient, or take precision float32; the last "
                "checkpoint is kept"
            )
        return losses

    def _validate(self) -> bool:
        """Judge the weights; whether they are the best so far."""
        validation, state = self._data.validation, self.state
        if validation is None:
            return False
        figures: dict[str, float] = {}
        if self._rank.leads:
            figures = self._figures(
                itertools.islice(validation(), self._settings.validation_batches)
            )
        judged = self._rank.from_leader(figures.get(self._recipe.judged_by, math.nan))
        sign = 1 if self._recipe.lower_is_better else -1
        improved = math.isfinite(judged) and (
            state.best is None or sign * judged < sign * state.best
        )
        state.waited = 0 if improved else state.waited + 1
        if improved:
            state.best, state.best_step = judged, state.step
        state.validations.append({"step": state.step, **figures})
        self._tell_gate(figures)
        if self._rank.leads:
            told = Validation(state.step, figures, improved)
            self._watch.validated(told)
            if self._board is not None:
                self._board.figures(told)
        return improved

    def _tell_gate(self, figures: Mapping[str, float]) -> None:
        if isinstance(self._recipe, Gated):
            self._recipe.validated(self._rank.from_leader(figures.get(self._recipe.gate, math.nan)))

    @torch.no_grad()
    def _figures(self, samples: Iterator[Sample]) -> dict[str, float]:
        judged = self._averages or self._networks
        networks = {**judged, **self._frozen}
        device = self._rank.device
        shown: list[Batch] = []

        def batches() -> Iterator[Batch]:
            for sample in samples:
                batch = self._recipe.batch(sample, device, None)
                if not shown:
                    shown.append(batch)
                yield batch

        for network in judged.values():
            network.eval()
        try:
            with self._autocast():
                figures = self._recipe.figures(networks, batches())
                if self._board is not None and len(self.state.validations) == 0:
                    self._board.shown(self.state.step, BoardMedia(sounds=self._data.sounds()))
                if self._board is not None and shown:
                    self._board.shown(self.state.step, self._recipe.show(networks, shown[0]))
        finally:
            for network in self._networks.values():
                network.train()
        return figures

    def _patience_is_over(self) -> bool:
        patience = self._settings.patience
        return patience is not None and self.state.waited >= patience

    def _save(self) -> None:
        if not self._rank.leads:
            return
        self._check()
        self.state.scaler = self._scaler.state_dict()
        self._checkpoints.save(self.state, self._networks, self._averages, self._optimizers)
        self._checkpoints.prune(keep=self._settings.keep, best=self.state.best_step)


def _drawn(seed: int, step: int, rank: int, use: str) -> int:
    """Seed of torch's generators for one step of one process."""
    drawn = np.random.SeedSequence([seed, step, rank, *use.encode()])
    return int(drawn.generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def _arithmetic(settings: TrainerSettings) -> Iterator[None]:
    """Either the same bits each time, or as fast as the GPU can with float32."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
    )
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.benchmark = not settings.deterministic
    torch.set_float32_matmul_precision("highest" if settings.deterministic else "high")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_float32_matmul_precision(before[2])


@torch.no_grad()
def _begin_with(values: Mapping[str, Tensor], networks: Mapping[str, nn.Module]) -> None:
    """Set what new networks know of their data, by phase/key."""
    for name, value in values.items():
        phase, _, key = name.partition("/")
        networks[phase].state_dict()[key].copy_(value)


class _Stop:
    asked = False


@contextmanager
def _asked_to_stop() -> Iterator[_Stop]:
    """The first Ctrl-C or SIGTERM asks for the end after this step; another one ends at once."""
    stop = _Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread: nobody to ask
                before[number] = signal.signal(number, ask)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def judged_networks(
    recipe: Recipe, checkpoints: Checkpoints, state: State
) -> Mapping[str, nn.Module]:
    """The networks of the best checkpoint, of the last where nothing was judged; on the CPU."""
    networks = recipe.networks()
    step = checkpoints.steps()[-1] if state.best_step is None else state.best_step
    checkpoints.load_judged(step, networks)
    return {name: network.eval() for name, network in networks.items()}
