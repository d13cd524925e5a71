"""Sound of a run in seconds of its rows: envelopes, spectrogram pictures, pieces to be heard."""

import io
import wave

import cv2
import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.errors import InputError, StoreError
from viewer.web.frames import give_way
from viewer.web.run import RunView, Sound

_FINE_SAMPLES = 1 << 20
"""Up to so many samples (a minute) are looked at one by one."""

_BLOCK, _READ = 256, 1 << 20
"""Samples of one pair of the coarse envelope; samples read at once."""

_MEL_SECONDS = 600
SOUND_SECONDS = 30


class Heard:
    """One sound of a run.

    Args:
        run: It belongs to.
        sound: The new speech, or the source's own.

    Raises:
        StoreError: the run has none.
    """

    def __init__(self, run: RunView, sound: Sound) -> None:
        found = run.waveform(sound)
        if found is None:
            raise StoreError(f"the run {run.record.id} has no sound {sound!r} in {run.store.url}")
        self._run, self._waveform = run, found
        self._rate = int(found.attributes["rate_hz"])
        self._from = run.shift_seconds if sound == "own" else 0.0
        self._coarse: NDArray[np.float32] | None = None
        self.seconds = float(run.times[-1])

    def envelope(self, start: float, stop: float, points: int) -> NDArray[np.float32]:
        """Least and largest samples (points, 2) of even parts of [start, stop) s; 0 beyond it."""
        first, last = self._samples(start, stop)
        if last - first <= _FINE_SAMPLES:
            return _pairs(np.repeat(self._read(first, last)[:, None], 2, 1), points)
        coarse = self._whole()
        rows = np.arange(first // _BLOCK, -(-last // _BLOCK))
        known = (rows >= 0) & (rows < len(coarse))
        found = np.zeros((len(rows), 2), np.float32)
        found[known] = coarse[rows[known]]
        return _pairs(found, points)

    def wav(self, start: float, stop: float) -> bytes:
        """The piece [start, stop) s as a WAV file, silent where there is no sound.

        Raises:
            InputError: it is longer than 30 s.
        """
        if not 0 < stop - start <= SOUND_SECONDS:
            raise InputError(f"ask for more than 0 and at most {SOUND_SECONDS} s of sound")
        samples = self._read(*self._samples(start, stop))
        target = io.BytesIO()
        with wave.open(target, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self._rate)
            file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        return target.getvalue()

    def mel_picture(self, start: float, stop: float, height: int) -> NDArray[np.uint8]:
        """The stored log-mel of [start, stop) s, (height, columns, 3) RGB, low bands below.

        Raises:
            InputError: it is longer than 600 s.
            StoreError: no stage made a spectrogram of this sound.
        """
        if not 0 < stop - start <= _MEL_SECONDS:
            raise InputError(f"ask for more than 0 and at most {_MEL_SECONDS} s of spectrogram")
        mel = self._mel()
        rate = int(mel.attributes["columns_per_second"])
        first, last = (round((at + self._from) * rate) for at in (start, stop))
        found = np.full((max(1, last - first), mel.sizes["band"]), -4, np.float32)
        low, high = max(first, 0), min(last, mel.sizes["column"])
        if low < high:
            found[low - first : high - first] = mel.read("mel", low, high)
        grey = np.rint(np.clip((found.T[::-1] + 4) / 8, 0, 1) * 255).astype(np.uint8)
        tall = cv2.resize(grey, (grey.shape[1], height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.applyColorMap(tall, cv2.COLORMAP_MAGMA)[..., ::-1], np.uint8)

    def _mel(self) -> Artifact:
        item = self._waveform.kind, self._waveform.key
        for mel in self._run.all("mel"):
            if mel.manifest.inputs["waveform"] == item:
                return mel
        raise StoreError("the run has no spectrogram of this sound")

    def _samples(self, start: float, stop: float) -> tuple[int, int]:
        first, last = (round((at + self._from) * self._rate) for at in (start, stop))
        return first, max(first + 1, last)

    def _read(self, first: int, last: int) -> NDArray[np.float32]:
        """Samples [first, last), zeros beyond the ends."""
        samples = np.zeros(last - first, np.float32)
        low, high = max(first, 0), min(last, self._waveform.sizes["sample"])
        if low < high:
            samples[low - first : high - first] = self._waveform.read("sample", low, high)
        return samples

    def _whole(self) -> NDArray[np.float32]:
        """The envelope of all of it, a pair for each block of samples; read once."""
        if self._coarse is None:
            total = self._waveform.sizes["sample"]
            parts = []
            for at in range(0, total, _READ):
                give_way()
                stop = min(at + _READ, -(-total // _BLOCK) * _BLOCK)
                both = np.repeat(self._read(at, stop)[:, None], 2, 1)
                parts.append(_pairs(both, -(-(stop - at) // _BLOCK)))
            self._coarse = np.concatenate(parts)
        return self._coarse


def _pairs(lows_highs: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    """The least of the first and the largest of the second column, in so many even parts."""
    length = len(lows_highs)
    starts = np.minimum(np.arange(points) * length // points, length - 1)
    low = np.minimum.reduceat(lows_highs[:, 0], starts)
    high = np.maximum.reduceat(lows_highs[:, 1], starts)
    return np.stack([low, high], axis=1)
