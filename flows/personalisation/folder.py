"""The folder of a personalisation: what it was begun with, and whether it has come to its end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.personalisation.report import CARD, PersonaliseReport
from stores.errors import TrainingError
from stores.places import check_new_folder
from stores.weights.registry import sha256_of
from tasks.training.run_folder import RunFolder, difference, write_text
from tasks.training.settings import FREE_TO_CHANGE

SETTINGS, SECONDS, METHOD = "personalise.json", "seconds.json", "method.yaml"
TRAININGS = ("expression", "renderer")


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but a personalisation, or can't be written.

    Raises:
        SettingsError: nothing can be written there.
        TrainingError: it holds something else; names what.
    """
    names = [p.name for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []
    if (names and SETTINGS not in names) or (folder.exists() and not folder.is_dir()):
        held = f"holds something else ({sorted(names)[0]})" if names else "is no folder"
        raise TrainingError(f"{folder} {held}; give a new folder (-o)")
    check_new_folder(folder)


def claim(folder: Path, given: Mapping[str, Any], *, restart: bool) -> None:
    """Begin here, or go on where the same settings stopped.

    Args:
        given: What decides the weights, nested JSON.
        restart: Forget what is here.

    Raises:
        TrainingError: the run was begun with something else.
    """
    check_folder(folder)
    begun = folder / SETTINGS
    if restart:
        for name in (CARD, METHOD, SECONDS):
            (folder / name).unlink(missing_ok=True)
        for name in TRAININGS:
            RunFolder(folder / name).checkpoints.clear()
    elif begun.exists():
        free = {f"{name}.trainer.{each}" for name in TRAININGS for each in FREE_TO_CHANGE}
        if (found := difference(json.loads(begun.read_text()), given, free=free)) is not None:
            raise TrainingError(
                f"{folder} {found}; give another folder (-o), the same settings, or --restart to "
                "forget what it has learned"
            )
    write_text(begun, json.dumps(given, indent=1) + "\n")


def finished(folder: Path, given: Mapping[str, Any]) -> PersonaliseReport | None:
    """The report of a run with these settings that is whole; None if there is something to do."""
    try:
        report = PersonaliseReport.model_validate_json((folder / CARD).read_bytes())
        same = all(sha256_of(folder / n) == file.sha256 for n, file in report.weights.items())
    except (OSError, ValidationError):
        return None
    return report if same and report.settings == json.loads(json.dumps(given)) else None
