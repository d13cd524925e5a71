"""How a command ends when something goes wrong: one line, and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from stores.errors import DubflowError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with one line for every error that a user can cause."""
    try:
        yield
    except DubflowError as error:
        _say(f"dubflow: {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        _say("dubflow: stopped; finished ranges are kept, the same command goes on from there")
        raise typer.Exit(130) from None


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
