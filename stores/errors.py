"""Every error that a user of Dubflow can meet.

    DubflowError
    ├── InputError              what the user gave can't be used
    │   ├── ManyFaults          several things are wrong with it, each told on a line of its own
    │   ├── MediaError          a video, sound or picture can't be read
    │   ├── SettingsError       a setting is unknown, out of range or contradicts another
    │   │   └── UnfitSettings   values that a settings model refuses, each by its name
    │   └── WeightsError        a checkpoint file is not what it should be, or not to be had
    ├── StoreError              the artifact store can't do what was asked
    │   ├── DamagedArtifact     stored bytes differ from what was committed
    │   ├── StoreFull           no space left where the store lies
    │   ├── StoreReadOnly       the user may read the store, but not write to it
    │   └── StoreUnreachable    an object store does not answer
    ├── MissingWeights          a published checkpoint is needed and not there
    ├── TrainingError           a training can't go on, or not with these settings
    └── ClusterError            the cluster can't be reached, lacks what is needed, or was lost

A message says what is wrong, in which file or frame range, and what to do next, on one line; of
`ManyFaults`, the command prints a line for each.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

_LOOKED_AT = 1000
_SHOWN_FAULTS = 8


class DubflowError(Exception):
    """Base of all errors that the command prints as one line, without a traceback."""


class InputError(DubflowError):
    """What the user gave can't be used."""


class ManyFaults(InputError):
    """Several things are wrong with what the user gave; as one text, the first of them are told.

    Args:
        faults: All of them, each as told by itself.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        more = len(faults) - _SHOWN_FAULTS
        super().__init__("; ".join(faults[:_SHOWN_FAULTS]) + f"; and {more} more" * (more > 0))
        self.faults = list(faults)


class MediaError(InputError):
    """A video, sound or picture can't be read."""


class SettingsError(InputError):
    """A setting is unknown, out of range or contradicts another one."""


def no_such_file(path: Path, what: str = "file", otherwise: str = "check the path") -> str:
    """That it is not there, and what lies beside it under nearly that name (of 1,000 at most).

    Args:
        path: Of what is missing.
        what: It should be.
        otherwise: What to do where nothing has nearly that name.
    """
    beside: list[str] = []
    with suppress(OSError):
        beside = [each.name for each in islice(path.parent.iterdir(), _LOOKED_AT)]
    near = get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {path.with_name(near[0])}?" if near else otherwise
    return f"{path}: no such {what}; {hint}"


def no_folder(path: Path, what: str = "folder") -> str:
    """That it is another thing, or not there; then as `no_such_file` says."""
    return f"{path} is no {what}" if path.exists() else no_such_file(path, what)


@dataclass(frozen=True)
class Fault:
    """What is wrong with one setting.

    Attributes:
        setting: Its name, dotted where it is nested; empty for a rule of several.
        rule: That it breaks, in words; None if it is needed and was not given.
        got: Its value, as a message shows it.
        names_it: The rule says of itself what is spoken of.
    """

    setting: str
    rule: str | None
    got: str = ""
    names_it: bool = False

    def __str__(self) -> str:
        if self.rule is None:
            return f"{self.setting}: a value is needed"
        got = f", got {self.got}" if self.got else ""
        return (
            self.rule if self.names_it or not self.setting else f"{self.setting}: {self.rule}{got}"
        )


class UnfitSettings(SettingsError):
    """Values that a settings model refuses.

    Args:
        faults: All of them.
        where: What the message begins with.
    """

    def __init__(self, faults: Sequence[Fault], where: str = "") -> None:
        super().__init__(where + "; ".join(map(str, faults)))
        self.faults, self.where = faults, where


class WeightsError(InputError):
    """A checkpoint file is not what it should be, or can't be fetched."""


class StoreError(DubflowError):
    """The artifact store can't do what was asked."""


class DamagedArtifact(StoreError):
    """Stored bytes differ from what was committed.

    Args:
        kind: Of the artifact.
        key: Of the artifact.
        what: Which file differs, and how.
        taken_out: Whether it has been removed, so that it is made again.
    """

    def __init__(self, kind: str, key: str, what: str, taken_out: bool = False) -> None:
        super().__init__(kind, key, what, taken_out)
        self.kind = kind
        self.key = key
        self.what = what
        self.taken_out = taken_out

    def __str__(self) -> str:
        remedy = (
            "it was taken out of the store, and the same command makes it again"
            if self.taken_out
            else "`dubflow artifacts verify --remove` takes it out of the store, and the next run "
            "makes it again"
        )
        return f"{self.kind} {self.key} is damaged: {self.what}; {remedy}"


class StoreFull(StoreError):
    """No space is left where the store lies."""


class StoreReadOnly(StoreError):
    """The store can be read, but not written by this user."""


class StoreUnreachable(StoreError):
    """An object store does not answer; what was finished is in it."""


class MissingWeights(DubflowError):
    """A published checkpoint is needed and is not there."""


class TrainingError(DubflowError):
    """A training can't go on: its loss is no number, or its settings are not those it had."""


class ClusterError(DubflowError):
    """The cluster can't be reached, lacks what a run needs, or was lost."""
