"""Curves over time as inline SVG, coloured by the page's style so that they follow its theme."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from viewer.report.data import Curve

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 34
MOST_POINTS = 600
"""Of a line; longer curves keep the lowest and the highest value of each stretch."""


def draw_curves(curves: Sequence[Curve], metric: Metric, systems: Sequence[str]) -> str:
    """One picture of the curves of a metric on one clip.

    Args:
        curves: One for each system at most.
        metric: Of all.
        systems: All names of the report, whose order gives the colours.

    Returns:
        An `<svg>` element, or "" if nothing is defined anywhere.
    """
    defined = [curve for curve in curves if np.isfinite(curve.values).any()]
    if not defined:
        return ""
    values = np.concatenate([curve.values[np.isfinite(curve.values)] for curve in defined])
    low, high = _padded(float(values.min()), float(values.max()))
    end = max(float(curve.seconds[-1]) for curve in defined) or 1.0
    start = min(0.0, *(float(curve.seconds[0]) for curve in defined))
    title = escape(f"{metric.title} over time, {curves[0].item}")
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        *_grid(start, end, low, high, metric),
    ]
    for curve in defined:
        seconds, drawn = _thinned(curve.seconds, np.asarray(curve.values, np.float64))
        x = LEFT + (seconds - start) / (end - start) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (drawn - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        name = escape(curve.system)
        colour = systems.index(curve.system) % 6 if curve.system in systems else 0
        parts.append(f'<path class="line s{colour}" d="{_path(x, y)}"><title>{name}</title></path>')
    return "".join([*parts, "</svg>"])


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.06 * (high - low) or max(abs(high) * 0.1, 1e-6)
    return (0.0 if 0 <= low < 2 * room else low - room), high + room


def _grid(start: float, end: float, low: float, high: float, metric: Metric) -> list[str]:
    parts = []
    for value in _ticks(low, high, 5):
        y = HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
    for second in _ticks(start, end, 8):
        x = LEFT + (second - start) / (end - start) * (WIDTH - LEFT - RIGHT)
        parts.append(
            f'<text class="tick mid" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}">{second:g}</text>'
        )
    label = escape(f"{metric.title} [{metric.unit}]" if metric.unit else metric.title)
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="tick mid" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}">time [s]</text>'
    )
    parts.append(
        f'<text class="tick mid" transform="translate(12 {middle}) rotate(-90)">{label}</text>'
    )
    return parts


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = int(np.ceil(low / step - 1e-9))
    return [
        float(f"{number * step:.6g}")
        for number in range(first, int(np.floor(high / step + 1e-9)) + 1)
    ]


def _thinned(
    seconds: NDArray[np.floating[Any]], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times = np.asarray(seconds, np.float64)
    if len(values) <= MOST_POINTS:
        return times, values
    keep: list[int] = []
    for rows in np.array_split(np.arange(len(values)), MOST_POINTS // 2):
        stretch = values[rows]
        known = rows[np.isfinite(stretch)]
        if len(known) < len(rows):
            keep.append(int(rows[~np.isfinite(stretch)][0]))
        if len(known):
            keep += [int(known[values[known].argmin()]), int(known[values[known].argmax()])]
    order = sorted(set(keep))
    return times[order], values[order]


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    pieces, drawing = [], False
    for across, down in zip(x, y, strict=True):
        if not np.isfinite(down):
            drawing = False
            continue
        pieces.append(f"{'L' if drawing else 'M'}{across:.1f} {down:.1f}")
        if not drawing:
            pieces.append("h0.1")
        drawing = True
    return "".join(pieces)
