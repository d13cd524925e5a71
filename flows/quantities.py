"""Sizes and times as people write them."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from stores.errors import InputError

_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def read_size(text: str, *, name: str) -> int:
    """Bytes of "50GB", "500 MB", "1.5TB"; powers of 1000, or of 1024 with an i as in "50GiB".

    Raises:
        InputError: it is something else; begins with `name`, of the option or variable.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", text.strip().lower())
    if found is None or (found[3] and not found[2]):
        raise InputError(f"{name} {text}: expected a size, as in 50GB or 500MB")
    factor = _BYTES[found[2]]
    if found[3]:
        factor = 1024 ** "kmgt".index(found[2]) * 1024
    return round(float(found[1]) * factor)


def read_since(text: str, *, name: str) -> float:
    """Seconds of "2d", "12h", "30m", "45s" or "3w", or since a day or time (ISO 8601, UTC).

    Raises:
        InputError: it is something else, or that time is still to come.
    """
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower()):
        return float(found[1]) * _SECONDS[found[2]]
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{name} {text}: expected 2d, 12h, 30m or 2026-11-29") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    if (since := (datetime.now(UTC) - when).total_seconds()) < 0:
        raise InputError(f"{name} {text}: that is still to come; times are UTC")
    return since


def read_days(days: float, *, name: str) -> timedelta:
    """That many days.

    Raises:
        InputError: it is no length of time.
    """
    with suppress(OverflowError):
        if days >= 0:  # is not so of NaN
            return timedelta(days=days)
    raise InputError(f"{name} {days:g}: expected a number of days, 0 or more")


def counted(count: int, noun: str) -> str:
    """As in "1 row", "2 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def told_age(seconds: float) -> str:
    """As in "3 h": in the largest unit of which there are two or more."""
    for unit in ("w", "d", "h", "m"):
        if seconds >= 2 * _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
