"""Layers in NumPy, for small networks that run where torch is not installed or not worth its start.

Signals are (time, channel) float32; weights have torch's layouts and are turned once, when a layer
is made. Matrix products take one thread if `tasks.inference.threads.one_thread` was called.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from models.arrays import Numbers

Signal = Float32[np.ndarray, "_time _channel"]
Weights = Mapping[str, Numbers]

_ROOT_HALF = np.float32(np.sqrt(0.5))
_EPSILON = np.float32(1e-5)


def part(weights: Weights, prefix: str) -> dict[str, NDArray[np.float32]]:
    """Those whose names begin so, under the rest of their names."""
    found = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
    return {name: np.asarray(weight, np.float32) for name, weight in found.items()}


class Linear:
    """x @ weight.T + bias; a bias is optional."""

    def __init__(self, weights: Weights, name: str) -> None:
        own = part(weights, f"{name}.")
        self.weight = np.ascontiguousarray(own["weight"].T)
        self.bias = own.get("bias", np.float32(0))

    def __call__(self, x: Signal) -> Signal:
        out: NDArray[np.float32] = x @ self.weight
        out += self.bias
        return out


class Conv1d:
    """Convolution over time without padding."""

    def __init__(self, weights: Weights, name: str, *, stride: int = 1, dilation: int = 1) -> None:
        own = part(weights, f"{name}.")
        outputs, inputs, self.kernel = own["weight"].shape
        turned = own["weight"].transpose(2, 1, 0).reshape(self.kernel * inputs, outputs)
        self.weight, self.bias = np.ascontiguousarray(turned), own["bias"]
        self.stride, self.dilation = stride, dilation

    def __call__(self, x: Signal) -> Signal:
        reach = (self.kernel - 1) * self.dilation
        count = (len(x) - reach - 1) // self.stride + 1
        taps = [
            x[tap * self.dilation :][: (count - 1) * self.stride + 1 : self.stride]
            for tap in range(self.kernel)
        ]
        out: NDArray[np.float32] = np.concatenate(taps, axis=1) @ self.weight
        out += self.bias
        return out


class LayerNorm:
    """Each moment's channels to mean 0 and variance 1, then weight and bias."""

    def __init__(self, weights: Weights, name: str) -> None:
        own = part(weights, f"{name}.")
        self.weight, self.bias = own["weight"], own["bias"]

    def __call__(self, x: Signal) -> Signal:
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        out: NDArray[np.float32] = centred / np.sqrt(variance + _EPSILON)
        out *= self.weight
        out += self.bias
        return out


def _erf(x: Signal) -> Signal:
    """The error function to 5e-7 (M. Abramowitz and I. Stegun, Handbook, 7.1.26).

    SciPy's takes half a second to import, which each run would wait for.
    """
    size = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * size)
    sum_ = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        sum_ *= t
        sum_ += np.float32(factor)
    sum_ *= t
    sum_ *= np.exp(-size * size)
    return np.asarray(np.copysign(1 - sum_, x))


def gelu(x: Signal) -> Signal:
    """x Phi(x), to the precision of float32."""
    out: NDArray[np.float32] = _erf(x * _ROOT_HALF)
    out += 1
    out *= x
    out *= np.float32(0.5)
    return out


def softmax(x: Numbers) -> Numbers:
    """Along the last axis."""
    raised = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))
