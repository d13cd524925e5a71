"""Which frame of the bank each output frame borrows: the cheapest path through them (Viterbi).

For every frame the nearest bank rows by lip shape and pose are candidates, and so are the rows
that follow the best candidates of the frame before, so that runs of the source can go on. Going on
costs nothing, a jump costs what one would see. Work is frames x bank rows (the bank is bounded),
memory one block of it.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32
from numpy.typing import NDArray

from models.arrays import BankRows, FrameMask, FrameRows, FrameValues, Mouth, Mouths, Seconds
from models.exemplar.settings import LenderSettings
from models.exemplar.shapes import lip_descriptor
from models.faces.mesh.align import Pose, pose_descriptor

_Floats = NDArray[np.float32]
_Ints = NDArray[np.int32]

_BLOCK = 128
"""Frames whose distances to the whole bank are held at once."""

_FORBIDDEN = np.float32(1e6)

NEAR = 4
"""Mouths that are looked for beside the one that is borrowed."""

_APART = 3
"""Rows from one of them to the next, at least: neighbours look the same."""

REACH = 0.0125
"""A wanted mouth this near to a bank mouth is within reach of the warp [face heights]: it is about
as far from the true one, by the speech model's error."""


class NothingLeft(ValueError):
    """An exclusion leaves some frame no mouth to borrow."""


@dataclass(frozen=True)
class Bank:
    """Frames whose mouths can be borrowed, one row per kept source frame, in the source's order.

    Attributes:
        mouth: canonical.
        pose: the head's pose in those frames.
        time_s: presentation time [s].
        run: rows of one number follow each other in the source.
        quality: 1 a clear view of the mouth, 0 a doubtful one.
        interior: 0..1, `mouth_interior`: where the path jumps, teeth shall not turn into darkness.
            None: jumps are judged by shape alone.
    """

    mouth: Float32[np.ndarray, "row 57 3"]
    pose: Pose
    time_s: Float64[np.ndarray, " row"]
    run: BankRows
    quality: Float32[np.ndarray, " row"]
    interior: Float32[np.ndarray, "row pixel"] | None = None

    def __post_init__(self) -> None:
        rows = len(self.mouth)
        lengths = (len(self.pose.scale), len(self.time_s), len(self.run), len(self.quality))
        if any(length != rows for length in lengths):
            raise ValueError(f"a bank of {rows} mouths got pose, time, run, quality of {lengths}")
        if self.interior is not None and len(self.interior) != rows:
            raise ValueError(f"a bank of {rows} mouths got {len(self.interior)} mouth interiors")
        if rows == 0:
            raise ValueError("the bank is empty: no frame shows a mouth that could be borrowed")

    def __len__(self) -> int:
        return len(self.mouth)


@dataclass(frozen=True)
class Choice:
    """What the frames borrow.

    Attributes:
        rows: bank row of each frame.
        near: the bank rows most like the wanted mouth, the best first, that may be borrowed and
            don't follow each other closely; where there are too few they come again.
        nearest: least distance of the wanted mouth from any bank row that may be borrowed, doubt
            and another turn of the head counted in [face heights].
    """

    rows: FrameRows
    near: Int32[np.ndarray, "frame near"]
    nearest: FrameValues

    def in_reach(self, made: FrameMask) -> float | None:
        """Share of the frames, 0..1, whose wanted mouth lies within `REACH` of one in the bank.

        The others are stretched from mouths that look different: shapes that the source never shows
        with the head turned so. The path may still borrow another mouth than the nearest.

        Args:
            made: the frames that count; without any the share is None.
        """
        return float((self.nearest[made] <= REACH).mean()) if made.any() else None


def choose_donors(
    target_mouth: Mouths,
    bank: Bank,
    *,
    target_pose: Pose,
    scene_start: FrameMask,
    neutral: Mouth,
    settings: LenderSettings | None = None,
    target_time_s: Seconds | None = None,
    exclude_within_s: float | None = None,
) -> Choice:
    """The bank row that each frame borrows, and how near the bank comes.

    Args:
        target_mouth: canonical, the wanted mouth (neutral + motion).
        bank: the speaker's own mouths.
        target_pose: head pose of the frames.
        scene_start: true for the first frame after each cut; there nothing has to go on.
        neutral: canonical, the person's closed mouth.
        settings: the costs that are weighed.
        target_time_s: presentation time [s], needed for an exclusion.
        exclude_within_s: never borrow from within this time of the frame itself [s].

    Raises:
        NothingLeft: the exclusion leaves nothing for some frame.
    """
    settings = settings or LenderSettings()
    if exclude_within_s is not None and target_time_s is None:
        raise ValueError("exclude_within_s needs target_time_s")
    wanted = _features(target_mouth, target_pose, neutral, settings)
    offered = _features(bank.mouth, bank.pose, neutral, settings)
    seen = settings.jump_shape_weight * lip_descriptor(bank.mouth, neutral)
    if bank.interior is not None:
        inside = bank.interior / math.sqrt(bank.interior.shape[1])
        seen = np.concatenate([seen, settings.jump_interior_weight * inside], axis=1)
    penalty = settings.quality_weight * (1 - bank.quality)
    search = _Search(bank, np.asarray(seen, np.float32), settings)
    nearest = np.empty(len(wanted), np.float32)
    alike = np.empty((len(wanted), NEAR), np.int32)
    for start in range(0, len(wanted), _BLOCK):
        stop = min(start + _BLOCK, len(wanted))
        cost = _distances(wanted[start:stop], offered) + penalty
        if exclude_within_s is not None and target_time_s is not None:
            near = np.abs(target_time_s[start:stop, None] - bank.time_s) < exclude_within_s
            cost[near] = _FORBIDDEN
            blocked = np.flatnonzero(near.all(1))
            if len(blocked):
                raise NothingLeft(
                    f"frame {start + blocked[0]}: the whole bank lies within "
                    f"{exclude_within_s} s of it; take a longer source or a smaller exclusion"
                )
        nearest[start:stop] = cost.min(1)
        alike[start:stop] = _near(np.asarray(cost, np.float32))
        for row in range(stop - start):
            search.step(cost[row], fresh=bool(scene_start[start + row]))
    return Choice(search.path(), alike, nearest)


def _near(cost: _Floats) -> _Ints:
    """NEAR columns of each row (row, NEAR) that cost least and lie apart."""
    left, every = cost.copy(), np.arange(len(cost))
    found = np.empty((len(cost), NEAR), np.int32)
    for place in range(NEAR):
        best = left.argmin(1)
        over = left[every, best] >= _FORBIDDEN
        found[:, place] = np.where(over, found[:, place - 1], best) if place else best
        for step in range(1 - _APART, _APART):
            left[every, np.clip(best + step, 0, cost.shape[1] - 1)] = _FORBIDDEN
    return found


def _features(mouth: _Floats, pose: Pose, neutral: _Floats, settings: LenderSettings) -> _Floats:
    turned = settings.pose_weight * pose_descriptor(pose)
    return np.concatenate([lip_descriptor(mouth, neutral), turned], axis=1)


def _distances(a: _Floats, b: _Floats) -> _Floats:
    """Euclidean distances (len(a), len(b)) float32."""
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


class _Search:
    """Viterbi over candidate lists, one `step` per frame; O(candidates) kept per frame."""

    def __init__(self, bank: Bank, seen: _Floats, settings: LenderSettings) -> None:
        """seen: (row, d) float32: what a jump costs is the distance of these, in face heights."""
        self._seen, self._settings = seen, settings
        last = np.append(bank.run[1:] != bank.run[:-1], True)
        self._next = np.where(last, -1, np.arange(len(bank)) + 1).astype(np.int32)
        self._rows: list[_Ints] = []
        self._back: list[NDArray[np.int16]] = []
        self._total: _Floats = np.zeros(0, np.float32)

    def step(self, cost: _Floats, *, fresh: bool) -> None:
        """Add a frame, given the cost (row,) of showing each bank row in it."""
        first = not self._rows
        rows = self._candidates(cost, follow=not (first or fresh))
        back = np.zeros(len(rows), np.int16)
        total = cost[rows]
        if not first:
            before = self._total[:, None]
            if not fresh:
                before = before + self._transition(self._rows[-1], rows)
            else:
                before = np.broadcast_to(before, (len(self._total), len(rows)))
            back = before.argmin(0).astype(np.int16)
            total = total + before[back, np.arange(len(rows))]
        total = total - total.min()
        self._rows.append(rows)
        self._back.append(back)
        self._total = total

    def path(self) -> _Ints:
        """The cheapest row per frame."""
        out = np.zeros(len(self._rows), np.int32)
        if not self._rows:
            return out
        state = int(self._total.argmin())
        for frame in range(len(out) - 1, -1, -1):
            out[frame] = self._rows[frame][state]
            state = int(self._back[frame][state])
        return out

    def _candidates(self, cost: _Floats, *, follow: bool) -> _Ints:
        k = min(self._settings.candidates, len(cost))
        rows = np.argpartition(cost, k - 1)[:k] if k < len(cost) else np.arange(len(cost))
        if follow:
            best = np.argsort(self._total)[: self._settings.candidates]
            after = self._next[self._rows[-1][best]]
            rows = np.concatenate([rows, after[after >= 0], self._rows[-1][best]])
        rows = np.unique(rows).astype(np.int32)
        return np.asarray(rows[cost[rows] < _FORBIDDEN], np.int32)

    def _transition(self, before: _Ints, after: _Ints) -> _Floats:
        """What one sees when row `before` is followed by row `after`: (before, after)."""
        s = self._settings
        natural = np.maximum(self._next[before], before * (self._next[before] < 0))
        out = s.jump_cost + _distances(self._seen[natural], self._seen[after])
        out[before[:, None] == after] = s.hold_cost
        out[self._next[before][:, None] == after] = 0
        return np.asarray(out, np.float32)
