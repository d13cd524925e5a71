"""The `dubflow` command. Its subcommands import what they need when they run."""

import gc
from collections.abc import Callable

from cyclopts import App, Group, Parameter

from flows.cli.batch import batch
from flows.cli.cues import cues
from flows.cli.demo import demo
from flows.cli.demo_batch import demo_batch
from flows.cli.doctor import doctor
from flows.cli.dub import dub
from flows.cli.errors import one_line_errors
from flows.cli.evaluate import evaluate
from flows.cli.faces import faces
from flows.cli.inspect import inspect
from flows.cli.options import ARGUMENTS, OPTIONS
from flows.cli.personalise import personalise
from flows.cli.prepare import prepare
from flows.cli.rate import rate
from flows.cli.train import train
from flows.cli.up import up
from flows.cli.verify import verify
from flows.runtime.environment import quiet_and_private
from tasks.engine.memory import give_memory_back

_OBJECTS = 20_000
"""New ones after which garbage is looked for: a start makes half a million, and no garbage."""

_WEIGHTS = """Get the published networks' weights, which Dubflow may not bring along.

`list` shows what there is, `pull` fetches what a program can fetch, `add` takes a file that you
fetched in a browser. Files are checked against known hashes, no code in them is run, and what they
hold is converted into the store once.
"""


def _version() -> str:
    from importlib.metadata import version

    return f"dubflow {version('dubflow')}"


app = App(
    name="dubflow",
    help="Make the lips of a talking-head video match new speech.",
    help_format="markdown",
    version=_version,
    group_arguments=ARGUMENTS,
    group_parameters=OPTIONS,
    default_parameter=Parameter(
        negative=(),
        allow_repeating=True,
        show_default=lambda value: None if value in (None, False) else str(value),
    ),
    suppress_keyboard_interrupt=False,
    result_action="return_none",
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    *(dub, faces, cues, demo, doctor, batch, demo_batch, prepare, train, personalise, evaluate),
    *(rate, inspect, verify, up),
)
for place, command in enumerate(_COMMANDS):
    app.command(command, sort_key=place)
app.command(
    "flows.cli.artifacts:artifacts",
    name="artifacts",
    help="List, trace, show, verify and collect the artifacts of a store.",
    sort_key=20,
)
app.command(
    "flows.cli.jobs:jobs",
    name="jobs",
    help="Queue dubs, run them, wait for them, retry and cancel them.",
    sort_key=19,
)
app.command("flows.cli.weights:weights", name="weights", help=_WEIGHTS, sort_key=21)
app.register_install_completion_command(
    help="Let the shell complete commands, options and choices.", group=Group("Shell")
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; ends the process with an exit code if it fails.

    Args:
        arguments: None for those of the process.
    """
    gc.set_threshold(_OBJECTS)
    quiet_and_private()
    give_memory_back()
    with one_line_errors():
        app(arguments, exit_on_error=False, print_error=False)
