"""Content keys, for any value: the same for equal values, another for all others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from stores.artifacts.keys import canonical_json, content_key, file_key

SCALARS = (
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text()
)
FINITE = SCALARS.filter(lambda value: value not in (float("inf"), float("-inf")))
VALUES = some.recursive(
    FINITE,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=12,
)
REFUSED = {
    "set": {1, 2},
    "frozen set": frozenset("a"),
    "path": Path("x"),
    "bytes": b"x",
    "array": np.zeros(2),
    "float32": np.float32(1),
    "int64": np.int64(1),
    "object": object(),
}


def typed(value: Any) -> Any:
    """The value with its types, so that 1, 1.0 and True differ, as do 0.0 and -0.0."""
    if isinstance(value, dict):
        return {name: typed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return type(value).__name__, repr(value)


def reordered(value: Any) -> Any:
    """The value with the entries of each dict in the opposite order."""
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [reordered(inner) for inner in value]
    return value


@given(VALUES)
def test_the_text_gives_the_value_back(value: Any) -> None:
    """So two values never have one text."""
    text = canonical_json(value)
    assert typed(json.loads(text)) == typed(value)
    assert text.isascii()


@given(VALUES)
def test_the_order_of_a_dict_does_not_count(value: Any) -> None:
    assert canonical_json(reordered(value)) == canonical_json(value)
    assert content_key(reordered(value)) == content_key(value)


@given(VALUES, VALUES)
def test_keys_are_equal_where_values_are(one: Any, two: Any) -> None:
    assert (content_key(one) == content_key(two)) == (typed(one) == typed(two))


@given(VALUES, some.sampled_from(sorted(REFUSED)))
def test_what_json_does_not_know_is_refused_at_any_depth(value: Any, kind: str) -> None:
    for place in (REFUSED[kind], [value, REFUSED[kind]], {"a": {"b": [REFUSED[kind]]}, "c": value}):
        with pytest.raises(TypeError):
            content_key(place)


@given(VALUES, SCALARS.filter(lambda name: not isinstance(name, str)))
def test_names_that_are_no_text_are_refused_at_any_depth(value: Any, name: Any) -> None:
    """JSON would write them as texts, and 1 and "1" would be one name."""
    for place in ({name: value}, [value, {name: 1}], {"a": ({"b": {"c": 2, name: 1}},)}):
        with pytest.raises(TypeError, match="not str"):
            content_key(place)


@given(VALUES, some.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_what_no_json_number_is_is_refused_at_any_depth(value: Any, number: float) -> None:
    for place in (number, [value, number], {"a": {"b": [number]}, "c": value}):
        with pytest.raises(ValueError):
            content_key(place)


def test_a_file_counts_by_its_bytes(tmp_path: Path) -> None:
    """Also where it is read in more than one block."""
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    content = bytes(range(256)) * 20_000
    one.write_bytes(content)
    two.write_bytes(content)
    other.write_bytes(content[:-1] + b"\0")
    assert file_key(one) == file_key(two) != file_key(other)
