"""Settings of a dub, and all that is wrong with them: the others are checked without the wrong."""

from typing import Any

from flows.methods import method_settings
from flows.presets import checked
from flows.settings import DubSettings
from stores.errors import SettingsError, UnfitSettings


def examine_settings(given: dict[str, Any]) -> tuple[DubSettings | None, list[str]]:
    """Settings without what is wrong with them, and that; None if nothing is left."""
    faults: list[str] = []
    values: dict[str, Any] | None = given
    while values is not None:
        try:
            settings = checked(DubSettings, values)
            method_settings(settings.method, settings.method_settings)
            return settings, faults
        except SettingsError as error:
            if isinstance(error, UnfitSettings):
                faults += [f"{error.where}{fault}" for fault in error.faults]
            else:
                faults.append(str(error))
            values = _without(values, error)
    return None, faults


def _without(values: dict[str, Any], error: SettingsError) -> dict[str, Any] | None:
    """Settings but for those that are wrong; None if they can't be told."""
    if not isinstance(error, UnfitSettings) or error.where:  # of the method's own
        left = {name: value for name, value in values.items() if name != "method_settings"}
    else:
        left = values
        for fault in error.faults:
            left = _without_one(left, fault.setting)
    return None if left == values else left


def _without_one(values: dict[str, Any], setting: str) -> dict[str, Any]:
    name, _, below = setting.partition(".")
    left = {other: value for other, value in values.items() if other != name}
    if below and isinstance(values.get(name), dict):
        return left | {name: _without_one(values[name], below)}
    return left
