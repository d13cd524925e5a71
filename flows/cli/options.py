"""Options of the command that set fields of a settings model, and options that commands share.

What an option takes, its choices, default, range and help are those of the field; a command says
only which fields it offers, under which names and in which panel of `--help`.
"""

import inspect
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console

from flows.cli.errors import NotGiven
from flows.names import OneOf
from flows.presets import at_path, merge
from stores.errors import Fault, InputError, SettingsError, UnfitSettings

ARGUMENTS = Group("Arguments", sort_key=0)
OPTIONS = Group("Options", sort_key=1)
DUBBED = Group("What is dubbed", sort_key=2)
CUES = Group("Cue sheets", sort_key=2)
EVALUATED = Group("What is evaluated", sort_key=2)
PREPARED = Group("What is prepared", sort_key=2)
ENCODING = Group("Encoding", sort_key=3)
ORIGIN = Group("Marks of origin", sort_key=3)
SETTINGS = Group("Settings", sort_key=4)
RUNNING = Group("Running", sort_key=5)


@dataclass(frozen=True)
class Option:
    """How the command line offers a field.

    Attributes:
        names: Of the option, as in "--output -o"; none for a positional argument.
        panel: Of `--help`, in which it stands.
        metavar: What is to be given, where the type of the field does not say it.
        default: What holds if nothing is given, where the model does not say it.
        field: Where it is not the model's field of that name.
        negative: Option that turns it off, where it is on.
    """

    names: str = ""
    panel: Group = OPTIONS
    metavar: str | None = None
    default: str | None = None
    field: FieldInfo | None = None
    negative: str = ""


ARGUMENT = Option()
OUTPUT = Option("--output -o")
STORE = Option("--store", RUNNING, "FOLDER|s3://…", "DUBFLOW_STORE, else the cache folder")
CLUSTER = Option("--cluster", RUNNING, "local[:N]|tcp://HOST:PORT|FILE.yaml")
DEVICE = Option("--device", RUNNING)
WORKERS = Option("--workers", RUNNING)

REPLACED = "Replace a file that is there; without it you are asked."
OverwriteOption = Annotated[bool, Parameter(name="--overwrite", group=OPTIONS, help=REPLACED)]
OutputOption = Annotated[Path, Parameter(name=("--output", "-o"))]


def _text(option: Option, help: str, default: str | None = None) -> Parameter:
    shown: dict[str, Any] = {
        "metavar": option.metavar,
        "show_default": option.default or default or False,
    }
    return Parameter(option.names.split(), group=option.panel, help=help, **shown)


StoreOption = Annotated[str | None, _text(STORE, "Where artifacts are kept.")]
ClusterOption = Annotated[
    str | None, _text(CLUSTER, "Dask workers that compute.", "threads of this process")
]
PrefectOption = Annotated[
    bool | None,
    Parameter(
        name="--prefect",
        negative="--direct",
        group=RUNNING,
        help="Run under Prefect, whose server is started if none is known, or without.",
        show_default="Prefect if PREFECT_API_URL is set",
    ),
]
ChangesOption = Annotated[
    list[str] | None, Parameter(name="--set", group=SETTINGS, metavar="NAME=VALUE")
]
DryRunOption = Annotated[
    bool, Parameter(name="--dry-run", group=SETTINGS, help="Print the settings and stop.")
]
JsonOption = Annotated[
    bool, Parameter(name="--json", group=RUNNING, help="End with one JSON object on stdout.")
]


def under_prefect(chosen: bool | None) -> bool:
    """Whether a command is a Prefect run: as `PrefectOption` says, else if a server is known."""
    return bool(os.environ.get("PREFECT_API_URL")) if chosen is None else chosen


def announce_server(console: Console) -> None:
    """Say why nothing happens for some seconds, if Prefect's server has to be started."""
    if not os.environ.get("PREFECT_API_URL"):
        console.print("[dim]starting Prefect's server (10 to 20 s; --direct does without) …")


def may_replace(file: Path, overwrite: bool) -> None:
    """Ask before a file is replaced; where nobody can be asked, refuse.

    Raises:
        InputError: it is there, and is to stay, or is a folder.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file in it")
    if overwrite or not file.exists():
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write(f"{file} is there. Replace it? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise InputError(f"{file} was left as it is; name another file")
    raise InputError(in_the_way(file))


def in_the_way(file: Path) -> str:
    """That a file is there, and what to do."""
    return f"{file} is there: --overwrite replaces it, or name another file"


def listening(host: str, port: int) -> socket.socket:
    """A socket to serve a page at.

    Raises:
        InputError: the address is taken, or none of this machine.
    """
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{host}:{port} can't be served at: {reason}; try --port 0") from None


def named(texts: list[str], *, what: str, example: str) -> dict[str, str]:
    """What is given by name, from NAME=… texts.

    Args:
        what: Is given so: FOLDER.

    Raises:
        SettingsError: a text is not of that form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, given = text.partition("=")
        if not (name and given):
            raise SettingsError(f"{text}: write NAME={what}, as in {example}")
        if name in found:
            raise SettingsError(f"{name}: named twice")
        found[name] = given
    return found


def offers(
    model: type[BaseModel], fields: Mapping[str, Option]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options for fields of a settings model.

    The command's first parameter gets what was given for them, nested as in the model.

    Args:
        model: Of the settings.
        fields: Names, dotted where they are nested, and how the command line offers each.
    """
    paths = {name.replace(".", "_"): name for name in fields}
    parameters = [
        _parameter(name, fields[path].field or find_field(model, path), fields[path])
        for name, path in paths.items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = list(inspect.signature(command).parameters.values())[1:]
        own = [each.replace(annotation=hints[each.name]) for each in own]
        signature = inspect.Signature(sorted([*parameters, *own], key=lambda each: each.kind))

        def run(*args: Any, **kwargs: Any) -> None:
            arguments = signature.bind(*args, **kwargs).arguments
            given: dict[str, Any] = {}
            typed: dict[str, Any] = {}
            for python_name, path in paths.items():
                value = arguments.pop(python_name, None)
                if value is not None:
                    typed[path] = value
                    given = merge(given, at_path(path, value))
            try:
                command(given, **arguments)
            except UnfitSettings as error:
                changes, config = arguments.get("changes") or [], arguments.get("config")
                if missing := [f for f in error.faults if f.rule is None and f.setting in fields]:
                    name = _typed_name(missing[0].setting, fields[missing[0].setting])
                    see = f"See `dubflow {command.__name__} --help`."
                    raise NotGiven(f"{name} is missing. {see}") from None
                told = [_as_typed(fault, fields, typed, changes) for fault in error.faults]
                where = error.where or (f"{config}: " if config and not any(told) else "")
                lines = (line or str(f) for line, f in zip(told, error.faults, strict=True))
                raise SettingsError(where + "; ".join(lines)) from None

        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
        run.__doc__, run.__name__, run.__module__ = command.__doc__, command.__name__, __name__
        return run

    return decorate


def _as_typed(
    fault: Fault, fields: Mapping[str, Option], typed: Mapping[str, Any], changes: list[str]
) -> str | None:
    """The fault, told of what stands in the command line; None if that says nothing of it."""
    for path, value in typed.items():
        if fault.setting == path or fault.setting.startswith(f"{path}."):
            shown = f"{value:g}" if isinstance(value, float) else value
            name = _typed_name(path, fields[path])
            return f"{name}: {fault.rule}" if fault.names_it else f"{name} {shown}: {fault.rule}"
    for change in changes:
        name = change.partition("=")[0]
        same = f".{fault.setting}".endswith(f".{name}") or name.endswith(f".{fault.setting}")
        if same or fault.setting.startswith(f"{name}."):
            return f"--set {change}: {fault.rule}"
    return None


def _typed_name(path: str, option: Option) -> str:
    return option.names.split()[0] if option.names else path.upper()


def find_field(model: type[BaseModel], path: str) -> FieldInfo:
    """The field of that name, dotted where it is nested."""
    name, _, rest = path.partition(".")
    field = model.model_fields[name]
    if not rest:
        return field
    below = field.annotation
    assert isinstance(below, type) and issubclass(below, BaseModel)
    return find_field(below, rest)


def _parameter(name: str, field: FieldInfo, option: Option) -> inspect.Parameter:
    required = field.is_required() and option.default is None
    kind = _plain(field.annotation)
    names = _names(field)
    told = Parameter(
        name=option.names.split(),
        group=option.panel if option.names else ARGUMENTS,
        metavar=option.metavar,
        help=_help(field, names),
        show_default=option.default or _default(field) or False,
        choices=names.names() if names and not (names.or_file or names.costly) else None,
        completer=_completer(names) if names and names.or_file else None,
        negative=option.negative or (),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY if option.names else inspect.Parameter.POSITIONAL_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, told],
    )


def _plain(hint: Any) -> Any:
    """The type without annotations, which are for the model to check."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) is list:
        return list[_plain(*get_args(hint))]  # type: ignore[misc]
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, map(_plain, get_args(hint)))
    return hint


def _names(field: FieldInfo) -> OneOf | None:
    """What a text, or each text of a list, is to be one of."""
    of_items = [each for item in get_args(field.annotation) for each in get_args(item)]
    return next((each for each in [*field.metadata, *of_items] if isinstance(each, OneOf)), None)


def _completer(names: OneOf) -> Callable[[object], tuple[str, ...]]:
    return lambda context: names.names()


def _help(field: FieldInfo, names: OneOf | None) -> str:
    text = (field.description or "").rstrip(".")
    known = f" [names: {', '.join(names.names())}]" if names and names.or_file else ""
    return f"{text[:1].upper()}{text[1:]}.{_range(field)}{known}"


def _range(field: FieldInfo) -> str:
    """As in " [0 to 40]"; nothing where any number will do."""
    bounds: dict[str, Any] = {}
    for rule in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if (bound := getattr(rule, name, None)) is not None:
                bounds[name] = bound
    match bounds:
        case {"ge": low, "le": high}:
            return f" [{low:g} to {high:g}]"
        case {"ge": low} if low:
            return f" [at least {low:g}]"
        case {"gt": low}:
            return f" [above {low:g}]"
    return ""


def _default(field: FieldInfo) -> str | None:
    """In words; None if there is none, or it says nothing."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    return None if value in (None, False, "") else str(value)
