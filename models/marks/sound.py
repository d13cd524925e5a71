"""A number in sound that nobody hears: small steps of loudness in 64 bands, up or down.

Spread spectrum on magnitudes, as in D. Kirovski and H. S. Malvar, "Spread-spectrum watermarking of
audio signals", IEEE Trans. Signal Processing 51(4), 2003. The signs lie on a grid of 64 bands of
100 Hz and 32 steps of 40 ms, which comes again every 1.28 s; a detector that adds up the periods
needs no other sound to find its place, and a factor on the whole changes nothing.

Convention: sound is (sample, channel), -1..1. Frame k of the analysis begins at k / 50 seconds and
lasts 1/25, so that its bins are 25 Hz apart at any rate.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from jaxtyping import Complex, Float, Float32
from numpy.typing import NDArray

from models.arrays import Waveform
from models.marks.code import Reading, read, spread

DETECTION_HZ = 16000
"""Rate of what the detector hears."""

NAME = "dubflow sound 1"
BANDS, STEPS = 64, 32
_FRAMES_PER_SECOND = 50
_BINS, _FRAMES = 4, 2  # in a cell
_FIRST_BIN = 12  # 300 Hz

STRENGTH = 0.2
"""Most that the magnitude of a bin changes, as a share of it: 1.6 dB."""

_ENERGY = 10**-3.1
"""Most energy of the mark over that of the sound, in each frame: 31 dB lie between them. Strong
harmonics carry nearly all energy of speech; their shares are what shrinks to keep to this."""

_SUBSTEPS = 4  # places within a frame's 20 ms in which the detector looks
_SPEEDS = (1.0, 25 / 24, 24 / 25)  # film is played so much faster, or slower, as television
_FLOOR = 1e-4  # of the file's loudest cell: what is weaker says nothing
_CLIP = 0.8  # nepers from the neighbours
_NEIGHBOURS = 3  # cells before and after
_EPS = 1e-9

_Block = Float32[np.ndarray, "_sample _channel"]
_Floats = NDArray[np.float32]


def marked_sound(blocks: Iterable[_Block], *, rate: int, payload: int) -> Iterator[_Block]:
    """Sound with the number in it: as long as it was, in blocks of other lengths.

    What is silent stays so. Memory does not grow with the length.

    Args:
        blocks: Sound, piece by piece.
        rate: Hz.
        payload: From 0 to 2³² - 1.
    """
    signs = spread(payload, NAME, BANDS * STEPS).reshape(STEPS, BANDS)
    size = 2 * round(rate / _FRAMES_PER_SECOND)
    window = np.sin(np.pi * (np.arange(size, dtype=np.float32) + 0.5) / size)[:, None]
    kept = change = np.zeros((0, 0), np.float32)
    begin = frame = 0  # the first sample of `kept`, and the next frame to analyse
    for block in blocks:
        if not kept.shape[1]:  # half a frame lies before the sound, so that all of it is marked
            kept = change = np.zeros((0, block.shape[1]), np.float32)
        kept = np.concatenate([kept, block])
        change = np.concatenate([change, np.zeros_like(block)])
        while (start := _start(frame, rate)) + size <= begin + len(kept):
            at = slice(start - begin, start - begin + size)
            change[at] += window * _change(kept[at] * window, signs[frame // _FRAMES % STEPS])
            frame += 1
        done = max(0, _start(frame, rate) - begin)
        if done:
            yield kept[:done] + change[:done]
            kept, change, begin = kept[done:], change[done:], begin + done
    if len(kept):
        yield kept + change


def _start(frame: int, rate: int) -> int:
    return round(frame * rate / _FRAMES_PER_SECOND)


def _change(sound: _Block, signs: Float32[np.ndarray, " band"]) -> _Floats:
    """What to add to a windowed frame."""
    spectrum: Complex[np.ndarray, "bin channel"] = np.fft.rfft(sound, axis=0)
    part = spectrum[_FIRST_BIN : _FIRST_BIN + BANDS * _BINS]
    size = np.abs(part) + _EPS
    energy = _ENERGY * np.sum(np.square(np.abs(spectrum)), axis=0) + _EPS**2
    most = np.sqrt(energy / len(part))  # a share of all bins alike keeps to the energy …
    used = np.sum(np.square(np.minimum(STRENGTH * size, most)), axis=0)
    share = np.minimum(STRENGTH, most * np.sqrt(energy / used) / size)  # … and so does this
    changed = np.zeros_like(spectrum)
    changed[_FIRST_BIN : _FIRST_BIN + len(part)] = (
        part * share * np.repeat(signs, _BINS)[: len(part), None]
    )
    return np.asarray(np.fft.irfft(changed, len(sound), axis=0), np.float32)


def find_in_sound(sound: Waveform) -> Reading:
    """The number in mono sound of DETECTION_HZ, wherever the sound was cut; any is given."""
    hop = DETECTION_HZ // _FRAMES_PER_SECOND
    period = hop * _FRAMES * STEPS
    if len(sound) < period:
        sound = np.pad(sound, (0, period - len(sound)))
    places = []
    for speed in _SPEEDS:
        at = np.arange(0, len(sound) - 1, speed)
        heard = sound if speed == 1 else np.interp(at, np.arange(len(sound)), sound)
        for step in range(_SUBSTEPS * _FRAMES):
            folded = _folded(heard[step * hop // _SUBSTEPS :].astype(np.float32), hop)
            places += [np.roll(folded, -turn, axis=0).ravel() for turn in range(STEPS)]
    return read(np.stack(places), NAME)


def _folded(sound: Waveform, hop: int) -> Float[np.ndarray, "step band"]:
    """What each cell has more than its neighbours in time, summed over all periods [neper]."""
    window = np.sin(np.pi * (np.arange(2 * hop, dtype=np.float32) + 0.5) / (2 * hop))
    count = (len(sound) // hop - 1) // _FRAMES * _FRAMES
    out = np.zeros((STEPS, BANDS))
    if count < _FRAMES:
        return out
    frames = np.lib.stride_tricks.sliding_window_view(sound, 2 * hop)[: count * hop : hop]
    magnitude = np.empty((count, BANDS * _BINS), np.float32)
    for at in range(0, count, 1024):
        spectra = np.fft.rfft(frames[at : at + 1024] * window)
        magnitude[at : at + 1024] = np.abs(spectra[:, _FIRST_BIN : _FIRST_BIN + BANDS * _BINS])
    cells = np.log(magnitude + _EPS).reshape(-1, _FRAMES, BANDS, _BINS).mean(axis=(1, 3))
    heard = (cells > cells.max() + np.log(_FLOOR)).astype(np.float32)
    above = heard * (cells - _around(cells, heard))
    above = np.clip(above - heard * _around(above.T, heard.T).T, -_CLIP, _CLIP)
    np.add.at(out, np.arange(len(above)) % STEPS, above)
    return out


def _around(cells: _Floats, heard: _Floats) -> _Floats:
    """Mean of the cells that are heard, over the neighbours along the first axis."""
    size = (1, 2 * _NEIGHBOURS + 1)
    outside = cv2.BORDER_CONSTANT
    count = cv2.boxFilter(heard, -1, size, normalize=False, borderType=outside)
    total = cv2.boxFilter(cells * heard, -1, size, normalize=False, borderType=outside)
    return np.asarray(total / np.maximum(count, 1), np.float32)
