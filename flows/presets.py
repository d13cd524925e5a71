"""Settings from YAML files, NAME=VALUE texts and options, laid over each other and checked."""

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from flows.names import YAML, config_names
from stores.errors import Fault, SettingsError, UnfitSettings, no_such_file
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


def checked(
    model: type[Model],
    values: object,
    *,
    where: str = "",
    given_with: type[BaseModel] | None = None,
) -> Model:
    """The settings of these values.

    Args:
        given_with: Another model whose settings are given beside these: an unknown name may be a
            misspelt one of it.
        where: What an error message begins with.

    Raises:
        UnfitSettings: some are missing, unknown, malformed or out of range; names all of them.
    """
    try:
        found = model.model_validate(values)
    except ValidationError as error:
        raise UnfitSettings(_faults(model, given_with, error), where) from None
    if faults := list(_endless(found.model_dump())):
        raise UnfitSettings(faults, where)
    return found


def _endless(values: object, name: str = "") -> Iterator[Fault]:
    """Numbers without end, which no rule of a model forbids by itself and no record can hold."""
    if isinstance(values, dict | list | tuple):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _endless(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, float) and not math.isfinite(values):
        yield Fault(name, "must be a finite number", repr(values))


def _faults(
    model: type[BaseModel], given_with: type[BaseModel] | None, error: ValidationError
) -> list[Fault]:
    """Out of pydantic's report: of each setting, the rule and the value."""
    found: dict[tuple[str, str | None], Fault] = {}
    for each in error.errors():
        setting = ".".join(str(part) for part in each["loc"])
        rule, got = each["msg"].removeprefix("Value error, "), repr(each["input"])
        rule = rule[:1].lower() + rule[1:]
        match each["type"]:
            case "missing":
                fault = Fault(setting, None)
            case "extra_forbidden":
                names = [
                    n for each in filter(None, (model, given_with)) for n in setting_names(each)
                ]
                fault = Fault(setting, f"there is no such setting{_nearest(setting, names)}")
            case "unknown_name":  # says all of that itself
                fault = Fault(setting, each["msg"], names_it=True)
            case _:
                fault = Fault(setting, rule, got) if setting else Fault("", rule)
        found.setdefault((fault.setting, fault.rule), fault)
    return list(found.values())


_NEAR = 0.7
"""From this likeness on (0 to 1) a name is taken for another one, misspelt."""


def _nearest(setting: str, names: Sequence[str]) -> str:
    """As in " (did you mean blend.mode?)"; else what there is beside it."""
    above, _, last = setting.rpartition(".")
    beside = [name for name in names if name.rpartition(".")[0] == above]
    near = get_close_matches(setting, beside, n=1, cutoff=_NEAR)
    if not near:
        lasts = get_close_matches(last, {n.rpartition(".")[2] for n in names}, n=1, cutoff=_NEAR)
        near = [name for name in names if name.rpartition(".")[2] in lasts]
    if near:
        return f" (did you mean {' or '.join(near)}?)"
    return f"; there is {', '.join(beside)}" if beside else ""


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """Names of all settings, dotted where they are nested."""
    for name, field in model.model_fields.items():
        yield name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from (f"{name}.{below}" for below in setting_names(kind))


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
        absent = isinstance(error, FileNotFoundError)
        told = no_such_file(path) if absent else f"{path} can't be read: {error.strerror}"
        raise SettingsError(told) from None
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
