"""Draws docs/rooms.svg: which room of the house imports which, from the imports themselves.

    python docs/rooms.py

An arrow that follows from others (a → b → c makes a → c plain) is left out.
"""

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from pathlib import Path

import grimp

PACKAGES = ("flows", "tasks", "viewer", "models", "stores")
COLOURS = dict(zip(PACKAGES, ("#dbeafe", "#dcfce7", "#fae8ff", "#fef3c7", "#e5e7eb"), strict=True))
WIDTH, HEIGHT, GAP_X, GAP_Y = 118, 30, 14, 46

Arrows = set[tuple[str, str]]


def room_of(module: str, graph: grimp.ImportGraph) -> str:
    """The room that a module lies in: a folder of a package, or the package; models as a whole."""
    package, _, rest = module.partition(".")
    folder = f"{package}.{rest.partition('.')[0]}"
    is_room = package != "models" and folder in graph.modules and graph.find_children(folder)
    return folder if is_room else package


def arrows() -> Arrows:
    """(room, room that it imports)."""
    graph = grimp.build_graph(*PACKAGES)
    found = {
        (room_of(module, graph), room_of(imported, graph))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(a, b) for a, b in found if a != b and not b.startswith(f"{a}.")}


def reduced(every: Arrows) -> Arrows:
    """Without arrows that a longer way makes plain."""
    below = defaultdict(set)
    for a, b in every:
        below[a].add(b)

    def reach(room: str, seen: frozenset[str] = frozenset()) -> set[str]:
        found: set[str] = set()
        for other in below[room] - seen:
            found |= {other} | reach(other, seen | {room})
        return found

    return {(a, b) for a, b in every if not any(b in reach(c) for c in below[a] - {b})}


def levels(every: Arrows) -> list[list[str]]:
    """Rooms from the top down, each below all that import it."""
    rooms = sorted({room for pair in every for room in pair})
    depth = dict.fromkeys(rooms, 0)
    for _ in rooms:
        for a, b in every:
            depth[b] = max(depth[b], depth[a] + 1)
    rows: dict[int, list[str]] = defaultdict(list)
    for room in rooms:
        rows[depth[room]].append(room)
    return [rows[number] for number in sorted(rows)]


def drawing(every: Arrows) -> str:
    """The picture as SVG."""
    rows = levels(every)
    across = max(len(row) for row in rows) * (WIDTH + GAP_X)
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        start = (across - len(row) * (WIDTH + GAP_X)) / 2
        for column, room in enumerate(row):
            places[room] = (start + column * (WIDTH + GAP_X), 10 + number * (HEIGHT + GAP_Y))
    down = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 20
    lines = [_arrow(places[a], places[b]) for a, b in sorted(reduced(every))]
    boxes = [_box(room, *places[room]) for room in sorted(places)]
    return "\n".join([*_head(across, down), *lines, *boxes, "</svg>", ""])


def _head(across: float, down: float) -> Iterable[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:.0f} {down:.0f}" '
        f'width="{across:.0f}" height="{down:.0f}" font-family="sans-serif" font-size="12">'
    )
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#64748b"/></marker></defs>'
    )
    yield '<rect width="100%" height="100%" fill="white"/>'


def _arrow(a: tuple[float, float], b: tuple[float, float]) -> str:
    x0, y0 = a[0] + WIDTH / 2, a[1] + HEIGHT
    x1, y1 = b[0] + WIDTH / 2, b[1]
    middle = (y0 + y1) / 2
    return (
        f'<path d="M{x0:.0f} {y0:.0f}C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} '
        f'{x1:.0f} {y1:.0f}" fill="none" stroke="#94a3b8" marker-end="url(#tip)"/>'
    )


def _box(room: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
        f'fill="{COLOURS[room.partition(".")[0]]}" stroke="#475569"/>'
        f'<text x="{x + WIDTH / 2:.0f}" y="{y + 20:.0f}" text-anchor="middle">{escape(room)}</text>'
    )


if __name__ == "__main__":
    Path(__file__).with_name("rooms.svg").write_text(drawing(arrows()))
