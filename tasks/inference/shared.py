"""The network in use, loaded once for all ranges that this process computes."""

import threading
from collections.abc import Callable, Hashable

from torch import nn

from stores.artifacts.artifact import Artifact
from tasks.engine.device_settings import Precision
from tasks.engine.run import current_devices
from tasks.inference.runner import Runner
from tasks.weights.networks import load_network

_lock = threading.Lock()
_kept: dict[Hashable, Runner] = {}


def network_runner(
    name: str,
    weights: Artifact,
    wrap: Callable[[nn.Module], nn.Module],
    *identity: Hashable,
    precision: Precision = "float32",
    tolerance: float = 0.0,
) -> Runner:
    """A network with its weights on the run's device, shared by all ranges of this process.

    Args:
        name: Of the stage that runs it.
        weights: Of the network.
        wrap: The loaded network → what is run for each block of samples.
        identity: What else `wrap` depends on, such as keys of the artifacts that it reads.
        precision: In which it computes.
        tolerance: As of `Runner`.
    """
    devices = current_devices()

    def make() -> Runner:
        network = wrap(load_network(weights))
        return Runner(network, devices, precision=precision, tolerance=tolerance)

    return shared_runner((name, weights.key, *identity, precision, devices), make)


def shared_runner(key: Hashable, make: Callable[[], Runner]) -> Runner:
    """The runner of that key; made if the last one asked for was another.

    Only one is kept: stages come one after the other, and networks are large.
    """
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = make()
        return _kept[key]
