"""What every benchmark does: it reads a command line and prints tables."""

import argparse
from collections.abc import Iterable, Sequence


def command_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with the first line of the benchmark's module."""
    return argparse.ArgumentParser(description=(doc or "").partition("\n")[0])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print Markdown, each row as soon as it is known; all columns but the first are numbers."""
    print(f"\n| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
