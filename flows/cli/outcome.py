"""What commands say when they are done."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape


def show_notes(notes: Iterable[str], console: Console) -> None:
    """Print what is to be known, each on a line."""
    for note in notes:
        console.print(f"  [yellow]note[/]: {escape(note)}", soft_wrap=True)


def show_computed(stages: Sequence[str], console: Console) -> None:
    """Print which stages were computed."""
    console.print(f"  computed: {', '.join(stages) or 'nothing, all came from the store'}")


def show_failures(failures: Sequence[tuple[str, str]], table: object, console: Console) -> None:
    """Print the first failures, what failed and why, and the table that holds all."""
    for name, why in failures[:10]:
        console.print(f"  [red]failed[/]: {name}: {escape(why)}")
    if failures:
        console.print(f"  {len(failures)} failed in all; see {table}", soft_wrap=True)
