"""What commands say when they are done."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from flows.quantities import counted


def show_notes(notes: Iterable[str], console: Console) -> None:
    """Print what is to be known, each on a line."""
    for note in notes:
        console.print(f"  [yellow]note[/]: {escape(note)}")


def show_notes_of(notes: Mapping[str, Sequence[str]], what: str, console: Console) -> None:
    """Print each note once, with whom it is about.

    Args:
        notes: Of each, by its name.
        what: They are: row.
    """
    for note in dict.fromkeys(note for own in notes.values() for note in own):
        names = [name for name, own in notes.items() if note in own]
        about = f"{what} {names[0]}" if len(names) == 1 else counted(len(names), what)
        console.print(f"{about}: [yellow]note[/]: {escape(note)}")


def show_computed(stages: Sequence[str], console: Console) -> None:
    """Print which stages were computed."""
    console.print(f"  computed: {', '.join(stages) or 'nothing, all came from the store'}")


def show_failures(failures: Sequence[tuple[str, str]], table: object, console: Console) -> None:
    """Print the first failures, what failed and why, and the table that holds all."""
    for name, why in failures[:10]:
        console.print(f"  [red]failed[/]: {name}: {escape(why)}")
    if failures:
        console.print(f"  {len(failures)} failed in all; see {table}")
