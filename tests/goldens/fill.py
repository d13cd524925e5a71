"""Weights from names and shapes alone, so that goldens need none in the repository.

Each tensor has its own stream of random words: Philox keyed by the SHA-256 of `seed:key`. Only raw
words and exact arithmetic are used, so every machine gets the same float32 bits. `z` below is
bell-shaped (the sum of a word's four 16-bit quarters) with mean 0 and variance 1.

The rules, first match wins:
    overrides {regex: std or [mean, std]}       mean + std z
    keep (regex), integer tensors               not filled
    *.weight_u, *.weight_v                      unit vectors near singular ones of weight_orig
    *.running_mean / *.running_var              0.1 z / uniform in [0.5, 1.5)
    *noise* of shape (1, 1, H, W)               z
    *modulation.bias / *bias                    1 + 0.1 z / 0.05 z
    vectors and (C, 1, 1)                       1 + 0.1 z; one value: 0.1 z; *prelu*: 0.25 + 0.05 z
    anything else                               gain z / sqrt(fan in)
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Shape = tuple[int, ...]
BLOCK = 1 << 15
EVEN_QUARTERS, LOWER_HALF = np.uint64(0x0000FFFF0000FFFF), np.uint64(0xFFFFFFFF)
KEEP = r"(^|\.)(pe|kernel|num_batches_tracked)$"


def fill(
    shapes: Mapping[str, Shape],
    seed: int,
    *,
    gain: float = 1.0,
    overrides: Mapping[str, float | list[float]] | None = None,
    keep: str = KEEP,
) -> dict[str, np.ndarray]:
    """Float32 arrays for the floating-point tensors of a state dict, in its order."""
    filled = {}
    for key, shape in shapes.items():
        rule = next((r for regex, r in (overrides or {}).items() if re.search(regex, key)), None)
        if rule is not None:
            mean, std = rule if isinstance(rule, list) else (0.0, rule)
            filled[key] = np.float32(mean + std * _bell(seed, key, shape))
        elif re.search(keep, key) or key.endswith(("weight_u", "weight_v")):
            continue
        else:
            filled[key] = np.float32(_plain(seed, key, shape, gain))
    for key in [key for key in shapes if key.endswith("weight_u")]:
        stem = key.removesuffix("weight_u")
        filled[key], filled[f"{stem}weight_v"] = _singular_vectors(
            seed, stem, filled[f"{stem}weight_orig"], shapes[key][0], shapes[f"{stem}weight_v"][0]
        )
    return {key: filled[key] for key in shapes if key in filled}


def of_manifest(manifest: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights with which a golden network's outputs were made."""
    shapes = {
        key: tuple(shape)
        for key, shape, dtype in manifest["state_dict"]
        if dtype.startswith("float")
    }
    return fill(shapes, manifest["seed"], **manifest["fill"])


def _plain(seed: int, key: str, shape: Shape, gain: float) -> np.ndarray:
    last = key.rsplit(".", 1)[-1]
    if last == "running_var":
        words = np.concatenate([*_words(seed, key, math.prod(shape))]) >> np.uint64(11)
        return (0.5 + words * 2.0**-53).reshape(shape)
    z = _bell(seed, key, shape)
    if last == "running_mean":
        return 0.1 * z
    if "noise" in key and len(shape) == 4 and shape[:2] == (1, 1):
        return z
    if last.endswith("bias"):
        return 1 + 0.1 * z if key.endswith("modulation.bias") else 0.05 * z
    if len(shape) <= 1 or shape[1:] == (1, 1):
        if math.prod(shape) == 1:
            return 0.1 * z
        return 0.25 + 0.05 * z if "prelu" in key else 1 + 0.1 * z
    # StyleGAN2 stores modulated convolutions as 1 x out x in x k x k
    inputs = shape[2:] if len(shape) == 5 and shape[0] == 1 else shape[1:]
    return gain / np.sqrt(float(math.prod(inputs))) * z


def _singular_vectors(
    seed: int, stem: str, weight: np.ndarray, n_u: int, n_v: int
) -> tuple[np.ndarray, np.ndarray]:
    if weight.shape[0] != n_u or weight.size != n_u * n_v:  # transposed convolutions
        weight = weight.swapaxes(0, 1)
    u = _unit(_bell(seed, f"{stem}weight_u", (n_u,)))
    v = _unit(weight.reshape(n_u, n_v).astype(np.float64).T @ u)
    v = _unit(v + 0.25 * _unit(_bell(seed, f"{stem}weight_v", (n_v,))))
    return np.float32(u), np.float32(v)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt((vector * vector).sum())


def _words(seed: int, key: str, n: int) -> Iterator[np.ndarray]:
    """Blocks of the stream, so small that they stay in the processor's cache."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    for start in range(0, n, BLOCK):
        yield stream.random_raw(min(BLOCK, n - start))


def _bell(seed: int, key: str, shape: Shape) -> np.ndarray:
    found, start = np.empty(math.prod(shape)), 0
    for words in _words(seed, key, len(found)):
        pairs = (words & EVEN_QUARTERS) + (words >> np.uint64(16) & EVEN_QUARTERS)
        total = (pairs & LOWER_HALF) + (pairs >> np.uint64(32))
        found[start : start + len(words)] = total.view(np.int64) - 131070
        start += len(words)
    found *= np.sqrt(3.0) / 65536
    return found.reshape(shape)
