"""Joining tracks of faces into persons: by place over short gaps, else by appearance alone.

Appearance is a descriptor per track, of a face-recognition network: the Euclidean distance between
two of them tells whether they show one person. Where none is known it is NaN, and two tracks on
either side of a cut stay two persons.
"""

from collections.abc import Sequence

import numpy as np

from models.arrays import Descriptor, Descriptors, FrameMask, Seconds
from models.faces.tracks import MIN_SCORE, Track, link_score

SAME_PERSON = 0.42
"""Descriptors of dlib that are nearer are of one person. Its authors part persons at 0.6 by single
pictures. Of 148 clips of 77 persons, five pictures each: 2 of 105 pairs of one person's clips are
farther apart than 0.42, and 8 of 10,773 pairs of different persons' are nearer (0.5: none, 42)."""

OTHER_PERSON = 0.6
"""Descriptors of dlib that are farther apart are of two persons, even at the same place."""

QUICK_GAP_S = 0.5
"""A face that is back within this time may have moved."""

SHORT_GAP_S = 1.5
"""A face that is back within this time at the same place goes on."""

_SAME_PLACE = 0.3
"""Overlap (intersection over union) of boxes at the same place."""


def join_tracks(
    tracks: Sequence[Track], descriptors: Descriptors, *, scene_start: FrameMask, time_s: Seconds
) -> list[Track]:
    """Join tracks of the same person; two that are seen in one frame never are.

    Args:
        tracks: without interruption, of `link_faces`.
        descriptors: of each track; NaN where none is known.
        scene_start: true for the first frame after each cut.
        time_s: presentation times [s].

    Returns:
        One track a person, largest (by area summed over time) first.
    """
    chains = _join_by_place(tracks, descriptors, np.cumsum(scene_start), time_s)
    joined = [Track.joined([tracks[index] for index in chain]) for chain in chains]
    looks = [_mean(descriptors[chain]) for chain in chains]
    persons = _join_by_appearance(joined, looks)
    return sorted(persons, key=lambda track: -track.area)


def _join_by_place(
    tracks: Sequence[Track], descriptors: Descriptors, scene: np.ndarray, time_s: Seconds
) -> list[list[int]]:
    """Indices of tracks of one scene that follow each other, by place and time."""
    chains: list[list[int]] = []
    open_chains: list[list[int]] = []
    for index in sorted(range(len(tracks)), key=lambda each: tracks[each].frames[0]):
        first = tracks[index].frames[0]
        open_chains = [
            chain
            for chain in open_chains
            if scene[tracks[chain[-1]].frames[-1]] == scene[first]
            and time_s[first] - time_s[tracks[chain[-1]].frames[-1]] <= SHORT_GAP_S
        ]
        scores = [
            _resumes(tracks[chain[-1]], tracks[index], time_s)
            if not _distance(descriptors[chain[-1]], descriptors[index]) > OTHER_PERSON
            else 0.0
            for chain in open_chains
        ]
        if scores and max(scores) > 0:
            open_chains[int(np.argmax(scores))].append(index)
        else:
            chains.append([index])
            open_chains.append(chains[-1])
    return chains


def _resumes(earlier: Track, later: Track, time_s: Seconds) -> float:
    """How well a track goes on where another of the same scene ended; 0 if it does not."""
    if later.frames[0] <= earlier.frames[-1]:
        return 0.0
    gap = time_s[later.frames[0]] - time_s[earlier.frames[-1]]
    score = link_score(earlier.boxes[-1], later.boxes[0])
    return score if score >= (MIN_SCORE if gap <= QUICK_GAP_S else _SAME_PLACE) else 0.0


def _join_by_appearance(tracks: Sequence[Track], looks: Sequence[Descriptor]) -> list[Track]:
    """Largest first, each track joins the person who looks most like it, if one does."""
    persons: list[list[int]] = []
    means: list[Descriptor] = []
    for index in sorted(range(len(tracks)), key=lambda each: -tracks[each].area):
        distances = [_distance(mean, looks[index]) for mean in means]
        for number in np.argsort(distances):
            if not distances[number] < SAME_PERSON:
                continue
            if all(_apart(tracks[other], tracks[index]) for other in persons[number]):
                persons[number].append(index)
                means[number] = _mean(np.stack([looks[each] for each in persons[number]]))
                break
        else:
            persons.append([index])
            means.append(looks[index])
    return [Track.joined([tracks[index] for index in group]) for group in persons]


def _apart(a: Track, b: Track) -> bool:
    return len(np.intersect1d(a.frames, b.frames, assume_unique=True)) == 0


def _distance(a: Descriptor, b: Descriptor) -> float:
    """Euclidean; NaN, which no bound holds for, if either is not known."""
    return float(np.linalg.norm(a - b))


def _mean(descriptors: Descriptors) -> Descriptor:
    """Of those that are known; NaN if none is."""
    known = descriptors[~np.isnan(descriptors).any(axis=1)]
    if not len(known):
        return np.full(descriptors.shape[1], np.nan, np.float32)
    return np.asarray(known.mean(axis=0), np.float32)
