"""Recipes by name: what `dubflow train` can train.

Adding one: losses in models/, a file in tasks/training/, one here with a `RECIPE`, and a preset in
configs/recipes/.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from flows.methods import merge
from flows.settings import explain
from stores.errors import SettingsError
from stores.shipped import shipped_file, shipped_names
from tasks.training.settings import TrainerSettings

if TYPE_CHECKING:
    from tasks.training.dataset import WindowSettings
    from tasks.training.recipe import Recipe

PRESETS = "configs/recipes"


@dataclass(frozen=True)
class RecipeSpec:
    """A recipe that can be trained.

    Attributes:
        settings: Model of its own settings.
        windows: What it needs of each window of a clip, to learn.
        judged_windows: And to be judged, in the clips' order.
        make: The recipe, from its settings and the URL of the store that holds weights.
    """

    settings: type[BaseModel]
    windows: Callable[[Any], "WindowSettings"]
    judged_windows: Callable[[Any], "WindowSettings"]
    make: Callable[[Any, str], "Recipe"]


def recipe_names() -> list[str]:
    """Names of all recipes: `ip_lap.landmarks` is the file ip_lap_landmarks.py and its preset."""
    return [name for name in shipped_names(PRESETS) if _module(name).is_file()]


def _module(name: str) -> Path:
    return Path(__file__).with_name(f"{name.replace('.', '_')}.py")


@cache
def find_recipe(name: str) -> RecipeSpec:
    """The recipe of that name.

    Raises:
        SettingsError: there is none; the message lists those that exist.
    """
    if name not in recipe_names():
        raise SettingsError(f"there is no recipe {name!r}; there is {', '.join(recipe_names())}")
    found = importlib.import_module(f"{__name__}.{_module(name).stem}").RECIPE
    assert isinstance(found, RecipeSpec)
    return found


def presets(name: str) -> list[str]:
    """Names of a recipe's presets; the first is the paper's."""
    mine = f"{name}."
    others = [n.removeprefix(mine) for n in shipped_names(PRESETS) if n.startswith(mine)]
    return ["paper", *others]


def recipe_settings(
    name: str,
    preset: str | None,
    *,
    trainer: dict[str, Any],
    settings: dict[str, Any],
) -> tuple[TrainerSettings, BaseModel]:
    """A recipe's preset from configs/recipes/, with changes on top.

    Args:
        preset: None: the paper's; else a name, or a YAML file.
        trainer: Changes of the trainer's settings.
        settings: Changes of the recipe's own, nested.

    Raises:
        SettingsError: a preset or setting is unknown, or a value out of range.
    """
    recipe = find_recipe(name)
    given = _preset(name, preset)
    if unknown := set(given) - {"trainer", "settings"}:
        raise SettingsError(f"preset of {name}: {', '.join(unknown)}: expected trainer, settings")
    try:
        return (
            TrainerSettings.model_validate(merge(given.get("trainer") or {}, trainer)),
            recipe.settings.model_validate(merge(given.get("settings") or {}, settings)),
        )
    except ValidationError as error:
        raise SettingsError(f"recipe {name}: {explain(error)}") from None


def _preset(name: str, preset: str | None) -> dict[str, Any]:
    if preset is not None and preset.endswith((".yaml", ".yml")):
        path = Path(preset)
        if not path.is_file():
            raise SettingsError(f"there is no preset {path}")
    elif preset in (None, "paper"):
        path = shipped_file(f"{PRESETS}/{name}.yaml")
    elif preset in presets(name):
        path = shipped_file(f"{PRESETS}/{name}.{preset}.yaml")
    else:
        raise SettingsError(f"{name} has no preset {preset!r}; it has {', '.join(presets(name))}")
    given = yaml.safe_load(path.read_text()) or {}
    if not isinstance(given, dict):
        raise SettingsError(f"{path} must hold settings by name")
    return given
