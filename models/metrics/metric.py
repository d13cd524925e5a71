"""The description of a metric: its name, meaning, unit and source."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """Description of one metric.

    Attributes:
        name: As in tables and files: `psnr_face`, `lse_d`.
        title: For people, short: `PSNR, face`.
        better: Which way is better; `zero` for figures of drift, `none` for plain facts.
        about: One paragraph for the report: what it measures, on which pixels, at which resolution,
            in which colour order and value range.
        source: Paper or code that it follows, so that others can check it.
        digits: Behind the point, in tables.
        unit: `dB`, `% of face height`; "" for none.
    """

    name: str
    title: str
    better: Literal["higher", "lower", "zero", "none"]
    about: str
    source: str
    digits: int = 2
    unit: str = ""
