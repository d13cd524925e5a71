"""Where the command prints what it has to say."""

from rich.console import Console


def new_console(*, stderr: bool = True) -> Console:
    """A console that breaks no line: a terminal does it, and addresses and digests stay whole.

    Args:
        stderr: What is told beside the result; else the result itself.
    """
    return Console(stderr=stderr, highlight=False, soft_wrap=True)
