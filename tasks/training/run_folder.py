"""The folder of a training run: who may write in it, what it was begun with, what it ends with."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stores.backends.locks import exclusive_or_refuse
from stores.errors import TrainingError
from stores.whole_files import replacing
from tasks.training.checkpoint import Checkpoints
from tasks.training.settings import FREE_TO_CHANGE

Flat = dict[str, Any]

_DIGESTS = ("data", "video", "speech")
"""Settings whose values tell nobody anything."""


class RunFolder:
    """One run's folder.

    settings.json, checkpoints/, tensorboard/, and in the end weights, card.md and card.json.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")

    @property
    def tensorboard(self) -> Path:
        """Folder of the event files."""
        return self.path / "tensorboard"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else trains here meanwhile.

        Raises:
            TrainingError: somebody does.
        """
        with exclusive_or_refuse(self.path / ".lock") as got:
            if not got:
                raise TrainingError(f"{self.path} is being trained in by another process")
            yield

    def claim(self, given: Mapping[str, Any], *, restart: bool) -> None:
        """Begin here, or go on where the same settings stopped.

        Args:
            given: What decides the weights, nested JSON with the trainer's settings in `trainer`.
            restart: Forget what is here.

        Raises:
            TrainingError: the run was begun with something else.
        """
        settings = self.path / "settings.json"
        if restart:
            self.checkpoints.clear()
        elif self.checkpoints.steps() and settings.exists():
            self._compare(json.loads(settings.read_text()), given)
        write_text(settings, json.dumps(given, indent=1) + "\n")

    def check(self, given: Mapping[str, Any]) -> None:
        """That there is something learned with these settings.

        Raises:
            TrainingError: there is nothing yet, or it was begun with something else.
        """
        if not self.checkpoints.steps():
            raise TrainingError(f"{self.path} holds no checkpoint yet")
        self._compare(json.loads((self.path / "settings.json").read_text()), given)

    def _compare(self, before: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        found = difference(before, given, free={f"trainer.{name}" for name in FREE_TO_CHANGE})
        if found is not None:
            raise TrainingError(
                f"{self.path} {found}; give another folder (-o), the same settings, or --restart "
                f"to forget its {self.checkpoints.steps()[-1]} steps"
            )


def difference(
    before: Mapping[str, Any], given: Mapping[str, Any], *, free: Collection[str]
) -> str | None:
    """In words, the first setting with which a run can't go on; None if there is none.

    Args:
        before: Nested JSON that a run was begun with.
        given: What it is now.
        free: Dotted names that may change.
    """
    old, new = flat(before), flat(json.loads(json.dumps(given)))
    for name in sorted({*old, *new} - set(free)):
        was, now = old.get(name), new.get(name)
        if was != now and name in _DIGESTS:
            return f"was begun with other {name}"
        if was != now:
            return f"was begun with {name}={was}, now it is {now}"
    return None


def flat(nested: Mapping[str, Any], prefix: str = "") -> Flat:
    """Nested settings by dotted names."""
    found: Flat = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def write_text(path: Path, text: str) -> None:
    """Write a file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(text)
