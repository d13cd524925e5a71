"""A 32-bit number spread over many small cells, and read from them with a proven error rate.

Spread spectrum as in I. J. Cox, J. Kilian, F. T. Leighton, T. Shamoon, "Secure spread spectrum
watermarking for multimedia", IEEE Trans. Image Processing 6(12), 1997, with a choice of one among
256 sequences for each byte. Every cell has a sign in every sequence; the signs are the output of
SHAKE-256, which can't be told from fair coins.

The error rate: let x be the numbers found in the cells of a file without a mark, whatever they are,
and c a sequence. c·x/|x| is a sum of independent signs with weights of length one, so that it is
above t with at most 3.18 times the probability of a normal variable (V. K. Bentkus and D.
Dzindzalieta, "A tight Gaussian bound for weighted sums of Rademacher random variables", Bernoulli
21(2), 2015). The sum of four of them, over the root of four, is such a sum too. `Reading.chance`
adds this up over all 2³² numbers and all places in which a detector looks.
"""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int8

BYTES = 4
"""Of a payload."""

_TAIL = 3.1787
"""1 / (4 P(Z > √2)), of the normal variable Z."""

LIMIT = 1e-5
"""A mark is called found where chance does as much in fewer of the files without one."""


@dataclass(frozen=True)
class Reading:
    """What a detector found.

    Attributes:
        payload: the number that fits best.
        score: how well, in standard deviations of what a file without a mark gives one number.
        places: in how many the detector looked.
    """

    payload: int
    score: float
    places: int

    @property
    def chance(self) -> float:
        """A bound on the share of files without a mark in which chance does as well."""
        one_number = _TAIL * math.erfc(self.score / math.sqrt(2)) / 2
        return min(1.0, self.places * 2.0 ** (8 * BYTES) * one_number)

    @property
    def found(self) -> bool:
        """Whether there is a mark."""
        return self.chance < LIMIT


@lru_cache(maxsize=4)
def sequences(name: str, cells: int) -> Int8[np.ndarray, "256 {cells}"]:
    """The sign of every cell for each value of its byte; cell i belongs to byte i % 4.

    Args:
        name: Of the mark, so that two marks share nothing.
        cells: How many there are.
    """
    bits = hashlib.shake_256(name.encode()).digest(256 * -(-cells // 8))
    rows = np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(256, -1)[:, :cells]
    return np.asarray(2 * rows.astype(np.int8) - 1, np.int8)


def spread(payload: int, name: str, cells: int) -> Float32[np.ndarray, " {cells}"]:
    """The sign of every cell for a payload.

    Args:
        payload: From 0 to 2³² - 1.
        name: Of the mark.
        cells: How many there are.
    """
    table, values = sequences(name, cells), payload.to_bytes(BYTES, "big")
    signs = np.empty(cells, np.float32)
    for place, value in enumerate(values):
        signs[place::BYTES] = table[value, place::BYTES]
    return signs


def read(found: Float[np.ndarray, "place cell"], name: str) -> Reading:
    """The payload that fits best.

    Args:
        found: What is seen of the signs, in each of the places in which the mark may be; 0 where
            nothing is.
        name: Of the mark.
    """
    cells = found.shape[1]
    table = sequences(name, cells).astype(np.float32)
    score = np.zeros(len(found))
    payload = np.zeros(len(found), np.int64)
    for byte in range(BYTES):
        part = np.asarray(found[:, byte::BYTES], np.float32)
        length = np.linalg.norm(part, axis=1, keepdims=True)
        fits = part @ table[:, byte::BYTES].T / np.maximum(length, 1e-12)
        fitting = fits.argmax(axis=1)
        score += fits[np.arange(len(found)), fitting] / math.sqrt(BYTES)
        payload = payload * 256 + fitting
    place = int(score.argmax())
    return Reading(int(payload[place]), float(score[place]), len(found))


def best(readings: Iterable[Reading]) -> Reading | None:
    """The best of several, each of which might have been by chance; None of none."""
    every = list(readings)
    if not every:
        return None
    first = max(every, key=lambda each: each.score)
    return replace(first, places=sum(each.places for each in every))
