"""A study: which videos are shown to whom, in which order, and what is asked."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import yaml

from stores.errors import InputError, SettingsError

Kind = Literal["single", "pair"]

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv")
"""Files of a system's folder that are taken for results."""


@dataclass(frozen=True)
class Question:
    """What raters are asked; `name` stands in the answers, `text` on the page."""

    name: str
    text: str


@dataclass(frozen=True)
class Trial:
    """What a rater sees at once.

    Attributes:
        name: Opaque, the same whenever this rater comes back and the sides are the same.
        kind: One video, or two side by side.
        item: Name of the clip.
        systems: Of the videos shown, left to right.
    """

    name: str
    kind: Kind
    item: str
    systems: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
        videos: Clip → system → its video.
        questions: For each kind of trial; kinds without questions are not shown.
        seed: Another one gives everyone another order.
    """

    videos: Mapping[str, Mapping[str, Path]]
    questions: Mapping[Kind, Sequence[Question]]
    seed: int = 0

    def trials(self, rater: str) -> list[Trial]:
        """All that a rater shall see, in an order of their own.

        One half of the pairs of two systems has the first on the left, drawn by chance. Single
        videos come before pairs, if both are asked for, because who has just compared two systems
        would score them further apart.
        """
        chance = random.Random(f"{self.seed}/{rater}")
        shown: list[Trial] = []
        if self.questions.get("single"):
            shown += self._shuffled("single", self._single(), rater, chance)
        if self.questions.get("pair"):
            shown += self._shuffled("pair", self._pairs(chance), rater, chance)
        return shown

    def _single(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(item, (system,)) for item, made in self.videos.items() for system in sorted(made)]

    def _pairs(self, chance: random.Random) -> list[tuple[str, tuple[str, ...]]]:
        by_systems: dict[tuple[str, str], list[str]] = {}
        for item, made in self.videos.items():
            for pair in combinations(sorted(made), 2):
                by_systems.setdefault(pair, []).append(item)
        pairs: list[tuple[str, tuple[str, ...]]] = []
        for (one, other), items in by_systems.items():
            turned = [number % 2 == 1 for number in range(len(items))]
            if len(items) % 2:
                turned[-1] = chance.random() < 0.5
            chance.shuffle(turned)
            for item, turn in zip(items, turned, strict=True):
                pairs.append((item, (other, one) if turn else (one, other)))
        return pairs

    def _shuffled(
        self,
        kind: Kind,
        shown: list[tuple[str, tuple[str, ...]]],
        rater: str,
        chance: random.Random,
    ) -> list[Trial]:
        chance.shuffle(shown)
        return [
            Trial(_opaque(str(self.seed), rater, kind, item, *systems), kind, item, systems)
            for item, systems in shown
        ]


def make_study(
    folders: Mapping[str, Path],
    questions: Mapping[Kind, Sequence[Question]],
    *,
    seed: int = 0,
) -> Study:
    """Find the videos of each system; files of the same name show the same clip.

    Args:
        folders: System → the folder of its videos.
        questions: For each kind of trial.
        seed: Of the order.

    Raises:
        InputError: a folder is not there or holds no videos, or no clip can be compared.
    """
    videos: dict[str, dict[str, Path]] = {}
    for system, folder in folders.items():
        if not folder.is_dir():
            raise InputError(f"{system}: {folder} is no folder")
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(f"{system}: {folder} holds no {', '.join(SUFFIXES)}")
        for path in found:
            if system in videos.setdefault(path.stem, {}):
                raise InputError(f"{system}: {folder} holds two videos named {path.stem}")
            videos[path.stem][system] = path
    if questions.get("pair") and not any(len(made) > 1 for made in videos.values()):
        raise InputError(
            "no clip has results of two systems: files of the same name are compared side by side"
        )
    return Study(dict(sorted(videos.items())), questions, seed)


def read_questions(path: Path) -> dict[Kind, list[Question]]:
    """Questions of a YAML file: `single` and `pair`, each with names and texts.

    Raises:
        SettingsError: it is not such a file.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: these questions can't be read: {reason}") from None
    if not isinstance(given, dict) or not given or not set(given) <= {"single", "pair"}:
        raise SettingsError(f"{path}: there should be `single` or `pair`, and nothing else")
    questions: dict[Kind, list[Question]] = {}
    for kind, texts in given.items():
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise SettingsError(f"{path}: `{kind}` should map names of questions to their texts")
        questions[kind] = [Question(str(name), text) for name, text in texts.items()]
    return questions


def _opaque(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def video_name(trial: Trial, side: int) -> str:
    """What a video of a trial is called in addresses: it tells nothing about who made it."""
    return _opaque(trial.name, str(side))
