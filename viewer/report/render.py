"""Writes a report: `report.html` that needs no other file, `report.md` and its pictures."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from models.metrics.metric import Metric
from viewer.intervals import Interval
from viewer.report.charts import draw_curves
from viewer.report.data import OPENINGS, Curve, Moment, Part, Report, Rgb
from viewer.report.tables import duels, metric_tables, untried

MOMENT_HEIGHT = 260
"""Pixels; taller pictures are made smaller."""

OPENING = Metric(
    "opening",
    "Lip opening",
    "none",
    "Of the middle of the inner lips.",
    "ours",
    unit="% of face height",
)
_GAP = 6
_ARROWS = {"higher": "↑", "lower": "↓", "zero": "→ 0", "none": ""}
_DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "zero": "nearest to zero is best",
    "none": "a plain fact, neither way is better",
}


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write both forms into a folder, which is made if need be.

    Returns:
        The page and the text; pictures of the text lie in `moments/` beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, text = folder / "report.html", folder / "report.md"
    page.write_text(to_html(report), encoding="utf-8")
    pictures: dict[tuple[int, int], str] = {}
    for part_number, part in enumerate(report.parts, 1):
        for number, moment in enumerate(part.moments, 1):
            picture = folder / "moments" / f"{part_number}-{number:02}.jpg"
            picture.parent.mkdir(exist_ok=True)
            picture.write_bytes(moment_jpeg(moment))
            pictures[part_number, number] = f"moments/{picture.name}"
    text.write_text(to_markdown(report, pictures), encoding="utf-8")
    return page, text


def to_html(report: Report) -> str:
    """The page: one file, no outside resource."""
    return _environment(html=True).get_template("page.html.j2").render(_shown(report))


def to_markdown(report: Report, pictures: Mapping[tuple[int, int], str] | None = None) -> str:
    """The text.

    Args:
        report: What is shown.
        pictures: Numbers of a part and of its moment, both from 1 → where the picture lies, from
            the text's folder.
    """
    template = _environment(html=False).get_template("page.md.j2")
    return template.render(_shown(report) | {"pictures": pictures or {}})


def moment_jpeg(moment: Moment) -> bytes:
    """The result left, the reference right of it, as one picture; grey where it has ended."""
    from PIL import Image

    result = _fitted(moment.result)
    other = moment.reference
    reference = np.full_like(result, 128) if other is None else _fitted(other)
    height = max(result.shape[0], reference.shape[0])
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    sides = [_filled(result, height), gap, _filled(reference, height)]
    written = BytesIO()
    Image.fromarray(np.hstack(sides)).save(written, "JPEG", quality=92, subsampling=0)
    return written.getvalue()


def number(value: float, digits: int) -> str:
    """A value as tables show it; one that would read as zero and is not gets an exponent."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return f"{value:.1e}" if value else f"{0:.{digits}f}"
    return text


def interval(mean: Interval, digits: int) -> str:
    """The bounds in brackets, or nothing where there are none."""
    if mean.low is None or mean.high is None:
        return ""
    bounds = (mean.low, mean.high)
    if any(float(f"{bound:.{digits}f}") for bound in bounds):
        low, high = (0.0 if float(f"{bound:.{digits}f}") == 0 else bound for bound in bounds)
        return f"[{low:.{digits}f}, {high:.{digits}f}]"
    return f"[{number(mean.low, digits)}, {number(mean.high, digits)}]"


def _shown(report: Report) -> dict[str, Any]:
    metrics = {metric.name: metric for metric in report.metrics}
    systems = [system.name for system in report.systems]
    parts = []
    for part in report.parts:
        tables = metric_tables(report, part)
        parts.append(
            {
                "part": part,
                "tables": tables,
                "untried": untried(report, tables),
                "duels": duels(report, part),
                "charts": _charts(part.curves, metrics, systems),
                "openings": _charts(part.openings, {OPENING.name: OPENING}, OPENINGS),
                "failed": sum(not failure.skipped for failure in part.failures),
                "skipped": [failure for failure in part.failures if failure.skipped],
                "clips": _clips(part),
            }
        )
    return {"report": report, "metrics": metrics, "systems": systems, "parts": parts}


def _clips(part: Part) -> int:
    named = {score.item for score in part.scores} | {failure.item for failure in part.failures}
    return len(named)


def _charts(
    curves: Sequence[Curve], metrics: Mapping[str, Metric], systems: Sequence[str]
) -> list[dict[str, str]]:
    pictures: dict[tuple[str, str], list[Any]] = {}
    for curve in curves:
        pictures.setdefault((curve.metric, curve.item), []).append(curve)
    drawn = [
        {
            "metric": metrics[name].title,
            "item": item,
            "svg": draw_curves(drawn_together, metrics[name], systems),
        }
        for (name, item), drawn_together in pictures.items()
    ]
    return [chart for chart in drawn if chart["svg"]]


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("viewer.report", "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number
    environment.filters["interval"] = interval
    environment.filters["picture"] = _embedded
    environment.filters["cell"] = _table_text
    environment.globals["arrows"] = _ARROWS
    environment.globals["directions"] = _DIRECTIONS
    return environment


def _embedded(moment: Moment) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(moment_jpeg(moment)).decode()


def _table_text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _fitted(picture: Rgb) -> Rgb:
    height, width = picture.shape[:2]
    if height <= MOMENT_HEIGHT:
        return picture
    size = (max(1, round(width * MOMENT_HEIGHT / height)), MOMENT_HEIGHT)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _filled(picture: Rgb, height: int) -> Rgb:
    below = height - picture.shape[0]
    return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, 0, cv2.BORDER_CONSTANT), np.uint8)
