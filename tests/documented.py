"""The commands that README and the pages of docs tell a reader to type."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = r"(?:dubflow|python(?= -m| docs/)|make|prefect|pip)"
_INLINE = re.compile(rf"`((?:\.venv/bin/)?{_PROGRAM} [^`]+)`")
_WHOLE = re.compile(  # a here-document, a loop, or a line with those that continue it
    r".*<<'(?P<end>\w+)'\n(?:.*\n)*?(?P=end)\n|for (?:.*\n)*?done\n|(?:.*\\\n)*.*\n"
)
_OPTIONAL = re.compile(r"\[(--[^]]*)\]")


@dataclass(frozen=True)
class Documented:
    """A command as a page has it: without comments, and optional parts as given."""

    page: str
    """Path below the checkout."""
    text: str


def pages() -> list[Path]:
    """README and all of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def documented(page: Path) -> list[Documented]:
    """What a page's blocks tell to type, in their order, and then what its text does."""
    text = page.read_text()
    blocks = [block for kind, block in _FENCE.findall(text) if _is_shell(kind, block)]
    found = [command for block in blocks for command in _commands(block)]
    for match in _INLINE.findall(_FENCE.sub("", text)):
        command = " ".join(match.split())
        if command not in found and _is_to_type(command):
            found.append(command)
    return [Documented(str(page.relative_to(ROOT)), command) for command in found]


def data_block(page: Path, kind: str) -> str:
    """The page's only block of that kind, such as `csv`."""
    (block,) = (block for each, block in _FENCE.findall(page.read_text()) if each == kind)
    return str(block)


def shown_files(page: Path) -> dict[str, str]:
    """The files that a page shows whole, below whose folder it says that they lie."""
    shown = re.findall(r"`(\S+/blur_mouth\.\w+)`\..*?```\w+\n(.*?)```", page.read_text(), re.DOTALL)
    return dict(shown)


def _is_shell(kind: str, block: str) -> bool:
    return kind in ("sh", "console") or (not kind and bool(re.match(rf"{_PROGRAM} ", block)))


def _commands(block: str) -> Iterator[str]:
    for match in _WHOLE.finditer(block):
        command = match[0].strip()
        if "<<" not in command:
            command = re.sub(r"(^|\s+)#.*", "", command)
            command = _OPTIONAL.sub(r"\1", re.sub(r"\s*\\\n\s*", " ", command))
        if command:
            yield command


def _is_to_type(command: str) -> bool:
    """Whether a command in the text is whole: no name alone, and nothing is left out."""
    return "dubflow dub …" not in command and not re.fullmatch(
        r"((dubflow|prefect)( [a-z-]+)+|python -m benchmarks\.\w+|.* … .*)", command
    )
