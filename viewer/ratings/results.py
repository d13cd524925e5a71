"""What raters said: mean opinion scores and preference shares, with intervals."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from stores.dataset_index import write_table
from viewer.intervals import Interval, crossed_interval
from viewer.ratings.answers import all_answers
from viewer.report.data import Opinion, Opinions, Preference


def _schema(names: Sequence[str], counts: Sequence[str]) -> pa.Schema:
    types = [(names, pa.string()), (("mean", "low", "high"), pa.float64()), (counts, pa.int32())]
    return pa.schema([(name, kind) for group, kind in types for name in group])


OPINIONS = _schema(("question", "system"), ("ratings", "raters"))
PREFERENCES = _schema(
    ("question", "first", "second"), ("first_wins", "neither", "second_wins", "raters")
)


def summarise(folder: Path, systems: Sequence[str] | None = None) -> Opinions:
    """Means of all answers in a folder.

    Args:
        folder: One Parquet file for each rater.
        systems: Only these, in this order; by default all, by name.

    Raises:
        InputError: there are no answers, or a file is something else.
    """
    rows = all_answers(folder)
    if systems is None:
        systems = sorted({row["left"] for row in rows} | {row["right"] for row in rows} - {""})
    questions = list(dict.fromkeys((row["kind"], row["question"]) for row in rows))
    texts = {(row["kind"], row["question"]): row["question_text"] for row in rows}
    scores, preferences = [], []
    for kind, question in questions:
        asked = [row for row in rows if (row["kind"], row["question"]) == (kind, question)]
        text = texts[kind, question]
        if kind == "single":
            scores += [_opinion(asked, text, system) for system in systems]
        else:
            preferences += [_preference(asked, text, *pair) for pair in combinations(systems, 2)]
    return Opinions(
        [opinion for opinion in scores if opinion],
        [preference for preference in preferences if preference],
    )


def write_results(opinions: Opinions, folder: Path) -> tuple[Path, Path]:
    """Write `opinions.parquet` and `preferences.parquet` into a folder, made if need be."""
    scores, preferences = folder / "opinions.parquet", folder / "preferences.parquet"
    write_table(scores, OPINIONS, opinion_rows(opinions))
    write_table(preferences, PREFERENCES, preference_rows(opinions))
    return scores, preferences


def opinion_rows(opinions: Opinions) -> Iterable[dict[str, Any]]:
    """Mean opinion scores as plain values."""
    for opinion in opinions.scores:
        yield {
            "question": opinion.question,
            "system": opinion.system,
            **_bounds(opinion.score),
            "ratings": opinion.score.n,
            "raters": opinion.raters,
        }


def preference_rows(opinions: Opinions) -> Iterable[dict[str, Any]]:
    """Preference shares as plain values."""
    for preference in opinions.preferences:
        first, neither, second = preference.wins
        yield {
            "question": preference.question,
            "first": preference.first,
            "second": preference.second,
            **_bounds(preference.share),
            "first_wins": first,
            "neither": neither,
            "second_wins": second,
            "raters": preference.raters,
        }


def _bounds(interval: Interval) -> dict[str, float | None]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _opinion(rows: list[dict[str, Any]], text: str, system: str) -> Opinion | None:
    given = [row for row in rows if row["left"] == system]
    if not given:
        return None
    return Opinion(system, text, _crossed(given, [row["answer"] for row in given]), _people(given))


def _preference(
    rows: list[dict[str, Any]], text: str, first: str, second: str
) -> Preference | None:
    given = [row for row in rows if {row["left"], row["right"]} == {first, second}]
    if not given:
        return None
    towards_second = [row["answer"] * (1 if row["right"] == second else -1) for row in given]
    wins = (towards_second.count(-1), towards_second.count(0), towards_second.count(1))
    share = _crossed(given, [(1 - answer) / 2 for answer in towards_second])
    return Preference(first, second, text, share, wins, _people(given))


def _crossed(rows: list[dict[str, Any]], values: list[float]) -> Interval:
    return crossed_interval(values, [row["rater"] for row in rows], [row["item"] for row in rows])


def _people(rows: list[dict[str, Any]]) -> int:
    return len({row["rater"] for row in rows})
