"""The network in use, loaded once for all ranges that this process computes."""

import threading
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.sampling.rows import spread
from stores.artifacts.artifact import Artifact
from tasks.engine.device_settings import Precision
from tasks.engine.run import current_devices, settled_once
from tasks.inference.runner import Arrays, Runner
from tasks.weights.networks import load_network

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]

_JUDGED_ROWS = 16
_lock = threading.Lock()
_kept: dict[Hashable, Runner] = {}


def network_runner(
    name: str,
    weights: Artifact,
    wrap: Callable[[nn.Module], nn.Module],
    *identity: Hashable,
    precision: Precision = "float32",
    tolerance: float = 0.0,
    usable: Bools | None = None,
    block: Callable[[Rows], Arrays] | None = None,
) -> Runner:
    """A network with its weights on the run's device, shared by all ranges of this process.

    Half precision is judged once for the whole artifact, so that all its ranges are of one
    precision, whoever computes them and in which order.

    Args:
        name: Of the stage that runs it.
        weights: Of the network.
        wrap: The loaded network → what is run for each block of samples.
        identity: What else `wrap` depends on, such as keys of the artifacts that it reads.
        precision: In which it computes, if that is near enough to float32; else in float32.
        tolerance: Root mean square difference from float32, in units of the output, that half
            precision may make on rows from all over the artifact.
        usable: (row,) of the artifact's rows, those that the network is run for.
        block: Such rows → a block of samples, as of `Runner.map`. Both are there to judge half
            precision by.
    """
    devices = current_devices()

    def runner(precision: Precision) -> Runner:
        return shared_runner(
            (name, weights.key, *identity, precision, devices),
            lambda: Runner(wrap(load_network(weights)), devices, precision=precision),
        )

    def judged() -> Precision:
        assert usable is not None and block is not None
        rows = spread(np.flatnonzero(usable), _JUDGED_ROWS)
        near = not len(rows) or runner(precision).error(block(rows)) <= tolerance
        return precision if near else "float32"

    if precision != "float32" and settled_once("precision", judged) == "float32":
        return runner("float32")
    return runner(precision)


def shared_runner(key: Hashable, make: Callable[[], Runner]) -> Runner:
    """The runner of that key; made if the last one asked for was another.

    Only one is kept: stages come one after the other, and networks are large.
    """
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = make()
        return _kept[key]
