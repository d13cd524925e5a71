"""Which bank row each output frame borrows: a cheapest path through the speaker's own frames.

For every frame the nearest bank rows by lip shape and pose are candidates, and so are the rows
that follow the best candidates of the frame before, so that runs of the source can go on. Going on
costs nothing, a jump costs what one would see. Work is frames x bank rows (the bank is bounded),
memory one block of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.exemplar.settings import LenderSettings
from models.exemplar.shapes import lip_descriptor
from models.faces.mesh.align import Pose, pose_descriptor

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]

_BLOCK = 128
"""Frames whose distances to the whole bank are held at once."""

_FORBIDDEN = np.float32(1e6)


@dataclass(frozen=True)
class Bank:
    """What can be borrowed, one row per kept source frame, in the source's order.

    Attributes:
        mouth: (row, 57, 3) float32, canonical.
        pose: the head's pose in those frames.
        time_s: (row,) float64 [s].
        run: (row,) int32: rows of one number follow each other in the source.
        quality: (row,) float32, 1 a clear view of the mouth, 0 a doubtful one.
        interior: (row, d) float32 0..1, `mouth_interior`: where the path jumps, teeth shall not
            turn into darkness. None: jumps are judged by shape alone.
    """

    mouth: Floats
    pose: Pose
    time_s: NDArray[np.float64]
    run: Ints
    quality: Floats
    interior: Floats | None = None

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


def choose_donors(
    target_mouth: Floats,
    bank: Bank,
    *,
    target_pose: Pose,
    scene_start: Bools,
    neutral: Floats,
    settings: LenderSettings | None = None,
    target_time_s: NDArray[np.float64] | None = None,
    exclude_within_s: float | None = None,
) -> Ints:
    """The bank row that each frame borrows.

    Args:
        target_mouth: (frame, 57, 3) float32, canonical, the wanted mouth (neutral + motion).
        bank: the speaker's own mouths.
        target_pose: head pose of the frames.
        scene_start: (frame,) bool; at a cut nothing has to go on.
        neutral: (57, 3) float32, the person's closed mouth.
        target_time_s: (frame,) float64 [s], needed for an exclusion.
        exclude_within_s: never borrow from within this time of the frame itself [s].

    Returns:
        (frame,) int32 bank rows.

    Raises:
        ValueError: the exclusion leaves nothing for some frame.
    """
    settings = settings or LenderSettings()
    if exclude_within_s is not None and target_time_s is None:
        raise ValueError("exclude_within_s needs target_time_s")
    wanted = _features(target_mouth, target_pose, neutral, settings)
    offered = _features(bank.mouth, bank.pose, neutral, settings)
    seen = settings.jump_shape_weight * lip_descriptor(bank.mouth, neutral)
    if bank.interior is not None:
        inside = bank.interior / np.sqrt(bank.interior.shape[1])
        seen = np.concatenate([seen, settings.jump_interior_weight * inside], axis=1)
    penalty = settings.quality_weight * (1 - bank.quality)
    search = _Search(bank, seen, settings)
    for start in range(0, len(wanted), _BLOCK):
        stop = min(start + _BLOCK, len(wanted))
        cost = _distances(wanted[start:stop], offered) + penalty
        if exclude_within_s is not None and target_time_s is not None:
            near = np.abs(target_time_s[start:stop, None] - bank.time_s) < exclude_within_s
            cost[near] = _FORBIDDEN
            blocked = np.flatnonzero(near.all(1))
            if len(blocked):
                raise ValueError(
                    f"frame {start + blocked[0]}: the whole bank lies within "
                    f"{exclude_within_s} s of it; take a longer source or a smaller exclusion"
                )
        for row in range(stop - start):
            search.step(cost[row], fresh=bool(scene_start[start + row]))
    return search.path()


def _features(mouth: Floats, pose: Pose, neutral: Floats, settings: LenderSettings) -> Floats:
    turned = settings.pose_weight * pose_descriptor(pose)
    return np.concatenate([lip_descriptor(mouth, neutral), turned], axis=1)


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances (len(a), len(b)) float32."""
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


class _Search:
    """Viterbi over candidate lists, one `step` per frame; O(candidates) kept per frame."""

    def __init__(self, bank: Bank, seen: Floats, settings: LenderSettings) -> None:
        """seen: (row, d) float32: what a jump costs is the distance of these, in face heights."""
        self._seen, self._settings = seen, settings
        last = np.append(bank.run[1:] != bank.run[:-1], True)
        self._next = np.where(last, -1, np.arange(len(bank)) + 1).astype(np.int32)
        self._rows: list[Ints] = []
        self._back: list[NDArray[np.int16]] = []
        self._total: Floats = np.zeros(0, np.float32)

    def step(self, cost: Floats, *, fresh: bool) -> None:
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

    def path(self) -> Ints:
        """The cheapest row per frame."""
        out = np.zeros(len(self._rows), np.int32)
        if not self._rows:
            return out
        state = int(self._total.argmin())
        for frame in range(len(out) - 1, -1, -1):
            out[frame] = self._rows[frame][state]
            state = int(self._back[frame][state])
        return out

    def _candidates(self, cost: Floats, *, follow: bool) -> Ints:
        k = min(self._settings.candidates, len(cost))
        rows = np.argpartition(cost, k - 1)[:k] if k < len(cost) else np.arange(len(cost))
        if follow:
            best = np.argsort(self._total)[: self._settings.candidates]
            after = self._next[self._rows[-1][best]]
            rows = np.concatenate([rows, after[after >= 0], self._rows[-1][best]])
        rows = np.unique(rows).astype(np.int32)
        return np.asarray(rows[cost[rows] < _FORBIDDEN], np.int32)

    def _transition(self, before: Ints, after: Ints) -> Floats:
        """What one sees when row `before` is followed by row `after`: (before, after)."""
        s = self._settings
        natural = np.maximum(self._next[before], before * (self._next[before] < 0))
        out = s.jump_cost + _distances(self._seen[natural], self._seen[after])
        out[before[:, None] == after] = s.hold_cost
        out[self._next[before][:, None] == after] = 0
        return np.asarray(out, np.float32)
