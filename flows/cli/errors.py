"""How a command ends when something goes wrong: a line for each fault, and an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Literal, NoReturn, TypeGuard, get_args, get_origin

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnusedCliTokensError

from flows.faults import how_to_install
from stores.errors import DubflowError, ManyFaults, SettingsError

STOPPED = "finished ranges are kept, the same command goes on from there"


class Stopped(Exception):
    """Ctrl-C, with what holds of the work so far."""


class NotGiven(SettingsError):
    """What a command needs stands neither in its line nor in a file that it names."""


@contextmanager
def when_stopped(remark: str) -> Iterator[None]:
    """Say something else on Ctrl-C than what `one_line_errors` says."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(remark) from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with one line for every error that a user can cause, each fault on one.

    Exit codes: 1 for what can't be done, 2 for a command line that can't be understood, 130 for
    Ctrl-C.
    """
    try:
        with _heard_at_once():
            yield
    except CycloptsError as error:
        _end(_words(error), 1 if _is_choice(error) else 2)
    except NotGiven as error:
        _end(str(error), 2)
    except ManyFaults as error:
        _end("\ndubflow: ".join(error.faults), 1)
    except DubflowError as error:
        _end(str(error), 1)
    except ModuleNotFoundError as error:
        if (how := how_to_install(error)) is None:
            raise
        _end(how, 1)
    except Stopped as stopped:
        _end(f"stopped; {stopped}", 130)
    except KeyboardInterrupt:
        _end(f"stopped; {STOPPED}", 130)
    except BrokenPipeError:  # whoever reads our output, as in `| head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        _end(f"{where}{error.strerror}", 1)
    except Exception as error:
        if not _is_lost_server(error):
            raise
        address = os.environ["PREFECT_API_URL"]
        _end(
            f"no Prefect server answers at {address} (PREFECT_API_URL): start it, as `dubflow up` "
            "does, or give --direct",
            1,
        )


def _is_lost_server(error: BaseException | None) -> bool:
    """Whether it comes from asking the server that PREFECT_API_URL names, which does not answer."""
    httpx = sys.modules.get("httpx")
    if httpx is None or "PREFECT_API_URL" not in os.environ:
        return False
    while error is not None and not isinstance(error, httpx.TransportError):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def _heard_at_once() -> Iterator[None]:
    """On Ctrl-C, say so before what is under way comes to an end."""

    def heard(number: int, frame: object) -> NoReturn:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with suppress(RuntimeError):  # it came in the middle of another line
            sys.stderr.write("dubflow: stopping; what is under way is brought to a safe end ...\n")
            sys.stderr.flush()
        raise KeyboardInterrupt

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"dubflow: {line}\n")
    sys.exit(code)


def _is_choice(error: CycloptsError) -> TypeGuard[CoercionError]:
    """The command line is understood, but there is no such method, codec, …."""
    return isinstance(error, CoercionError) and get_origin(error.target_type) is Literal


def _words(error: CycloptsError) -> str:
    if _is_choice(error) and error.token and error.argument:
        names = [str(name) for name in get_args(error.target_type)]
        option = error.token.keyword or error.argument.name
        near = get_close_matches(error.token.value, names, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{option} {error.token.value}: expected {_listed(names)}{hint}"
    if isinstance(error, UnusedCliTokensError):
        text = f"too many arguments: {' '.join(error.unused_tokens or [])}."
    elif isinstance(error, MissingArgumentError) and error.argument and not error.argument.tokens:
        typed = error.keyword
        text = f"{typed} needs a value." if typed else f"{error.argument.name} is missing."
    else:
        text = " ".join(str(error).split())
        text = text[:1].lower() + text[1:]
    command = " ".join(["dubflow", *(error.command_chain or [])])
    return f"{text} See `{command} --help`."


def _listed(names: list[str]) -> str:
    """As in "a, b or c"."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
