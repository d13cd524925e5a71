"""Names that a setting can take: found by listing a folder, never kept by hand."""

import difflib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from stores.shipped import shipped_folder

YAML = (".yaml", ".yml")


def module_names(package: str) -> tuple[str, ...]:
    """Modules of a package, in order of their names; neither they nor it are imported.

    Folders of the same name elsewhere on Python's path are looked into as well.
    """
    spec = find_spec(package)
    assert spec is not None
    folders = pkgutil.extend_path(list(spec.submodule_search_locations or []), package)
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders)))


def config_names(folder: str) -> tuple[str, ...]:
    """YAML files in a folder of configs/, without their suffix, in order."""
    return tuple(sorted(path.stem for path in shipped_folder(f"configs/{folder}").glob("*.yaml")))


def method_names() -> tuple[str, ...]:
    """Dubbing methods: the files of flows/methods/."""
    return module_names("flows.methods")


def recipe_names() -> tuple[str, ...]:
    """Training recipes: presets in configs/recipes/ whose recipe is a file of flows/recipes/."""
    modules = module_names("flows.recipes")
    return tuple(name for name in config_names("recipes") if name.replace(".", "_") in modules)


def preset_names() -> tuple[str, ...]:
    """Presets of training recipes, the papers' first: configs/recipes/RECIPE.PRESET.yaml."""
    names, others = config_names("recipes"), set()
    for recipe in recipe_names():
        others |= {n.removeprefix(f"{recipe}.") for n in names if n.startswith(f"{recipe}.")}
    return ("paper", *sorted(others))


def personalise_presets() -> tuple[str, ...]:
    """Presets of `dubflow personalise`: the files of configs/personalise/."""
    return config_names("personalise")


def family_names() -> tuple[str, ...]:
    """Families of metrics, in the order of the report."""
    from tasks.metrics import families  # what computes them is imported only to be listed

    return tuple(families())


def stage_kinds() -> dict[str, str]:
    """Name of each stage, and each kind of artifact → the kind. Takes seconds: imports tasks."""
    from tasks.engine.stage import Stage

    spec = find_spec("tasks")
    assert spec is not None
    found = pkgutil.walk_packages(spec.submodule_search_locations, "tasks.")
    modules = [import_module(module.name) for module in found]
    members = [member for module in modules for member in vars(module).values()]
    stages = [member for member in members if isinstance(member, Stage)]
    named = {each.body.__name__: each.schema.kind for each in stages}
    return named | {kind: kind for kind in named.values()}


def dataset_names() -> tuple[str, ...]:
    """Data sets that Dubflow knows: the files of configs/datasets/."""
    return config_names("datasets")


def protocol_names() -> tuple[str, ...]:
    """Evaluation protocols that Dubflow knows: the files of configs/protocols/."""
    return config_names("protocols")


@dataclass(frozen=True)
class OneOf:
    """Annotation of a text setting: one of the names that exist when it is checked.

    Attributes:
        what: What they are names of.
        names: Lists them.
        or_file: The path of a YAML file will do as well.
        costly: Listing them imports what takes seconds: it is done when one was given, and not for
            `--help`.
    """

    what: str
    names: Callable[[], tuple[str, ...]]
    or_file: bool = False
    costly: bool = False

    def problem(self, value: str) -> str | None:
        """What is wrong with the value, in words; None if nothing."""
        names = self.names()
        if value in names or (self.or_file and value.endswith(YAML)):
            return None
        near = difflib.get_close_matches(value, names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        other = ", or give a YAML file" if self.or_file else ""
        return f"there is no {self.what} {value!r}; there is {', '.join(names)}{other}{hint}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: str) -> str:
            if problem := self.problem(value):
                raise PydanticCustomError("unknown_name", "{problem}", {"problem": problem})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))
