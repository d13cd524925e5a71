"""Settings from YAML files, NAME=VALUE texts and options, laid over each other and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from flows.names import YAML, config_names
from stores.errors import SettingsError
from stores.shipped import shipped_file

Model = TypeVar("Model", bound=BaseModel)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with changes on top."""
    merged = dict(base)
    for name, value in changes.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[name] = merge(below, value)
        else:
            merged[name] = value
    return merged


def checked(model: type[Model], values: object, *, where: str = "") -> Model:
    """The settings of these values.

    Args:
        where: What an error message begins with.

    Raises:
        SettingsError: one is missing, unknown, malformed or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(where + explain(error)) from None


def explain(error: ValidationError) -> str:
    """One line out of pydantic's report: the setting, the rule, the value."""
    first = error.errors()[0]
    if first["type"] == "unknown_name":  # says all of that itself
        return first["msg"]
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not first["loc"]:  # a rule of several settings
        return message
    where = ".".join(str(part) for part in first["loc"])
    got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {first['input']!r}"
    return f"{where}: {message}{got}"


def at_path(name: str, value: object) -> dict[str, Any]:
    """The nested settings in which `name`, dotted where it is nested, has that value."""
    for part in reversed(name.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def nested(changes: list[str], *, example: str) -> dict[str, Any]:
    """Settings from NAME=VALUE texts, names dotted where they are nested, values as in YAML.

    Raises:
        SettingsError: a text is not of that form; shows the example.
    """
    settings: dict[str, Any] = {}
    for change in changes:
        name, separator, value = change.partition("=")
        if not (separator and name):
            raise SettingsError(f"--set {change}: expected NAME=VALUE, as in {example}")
        try:
            settings = merge(settings, at_path(name, yaml.safe_load(value)))
        except yaml.YAMLError as error:
            raise SettingsError(f"--set {change}: {_one_line(error)}") from None
    return settings


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings by name; none if the file is empty.

    Raises:
        SettingsError: it can't be read, or holds something else.
    """
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not YAML: {_one_line(error)}") from None
    if not isinstance(found or {}, dict):
        raise SettingsError(f"{path} must hold settings by name")
    return found or {}


def config_file(name: str, *, folder: str, what: str) -> Path:
    """A shipped file by the name it has in a folder of configs/, or a user's own by its path.

    Raises:
        SettingsError: there is none of that name; lists those that exist.
    """
    if name.endswith(YAML):
        return Path(name)
    if name not in (names := config_names(folder)):
        raise SettingsError(
            f"there is no {what} {name!r}; there is {', '.join(names)}, or give a YAML file"
        )
    return shipped_file(f"configs/{folder}/{name}.yaml")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
