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

from pydantic import BaseModel

from flows.names import YAML, OneOf, config_names, recipe_names
from flows.presets import checked, merge, read_yaml
from stores.errors import SettingsError
from stores.shipped import shipped_file
from tasks.training.settings import TrainerSettings

if TYPE_CHECKING:
    from flows.training.job import Job
    from tasks.training.recipe import Data, Recipe


@dataclass(frozen=True)
class RecipeSpec:
    """A recipe that can be trained.

    Attributes:
        settings: Model of its own settings.
        open: What a job is trained and judged on.
        make: The recipe, from its settings and the URL of the store that holds weights.
        clips: It learns from prepared clips, so that a folder of clips will do.
    """

    settings: type[BaseModel]
    open: Callable[["Job"], "Data"]
    make: Callable[[Any, str], "Recipe"]
    clips: bool = True


@cache
def find_recipe(name: str) -> RecipeSpec:
    """The recipe of that name.

    Raises:
        SettingsError: there is none; the message lists those that exist.
    """
    if problem := OneOf("recipe", recipe_names).problem(name):
        raise SettingsError(problem)
    found = importlib.import_module(f"{__name__}.{name.replace('.', '_')}").RECIPE
    assert isinstance(found, RecipeSpec)
    return found


def presets(name: str) -> list[str]:
    """Names of a recipe's presets; the first is the paper's."""
    beginning = f"{name}."
    others = (each for each in config_names("recipes") if each.startswith(beginning))
    return ["paper", *(each.removeprefix(beginning) for each in others)]


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
    where = f"recipe {name}: "
    return (
        checked(TrainerSettings, merge(given.get("trainer") or {}, trainer), where=where),
        checked(
            recipe.settings,
            merge(given.get("settings") or {}, settings),
            where=where,
            given_with=TrainerSettings,
        ),
    )


def _preset(name: str, preset: str | None) -> dict[str, Any]:
    if preset is not None and preset.endswith(YAML):
        path = Path(preset)
        if not path.is_file():
            raise SettingsError(f"there is no preset {path}")
    elif preset in (None, "paper"):
        path = shipped_file(f"configs/recipes/{name}.yaml")
    elif preset in presets(name):
        path = shipped_file(f"configs/recipes/{name}.{preset}.yaml")
    else:
        raise SettingsError(f"{name} has no preset {preset!r}; it has {', '.join(presets(name))}")
    return read_yaml(path)
