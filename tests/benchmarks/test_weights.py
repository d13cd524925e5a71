"""Weights that benchmarks keep."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from benchmarks.weights import keep_arrays


@pytest.mark.parametrize("order", ["C", "F", "reversed"])
def test_arrays_are_read_as_they_were_given(tmp_path: Path, order: str) -> None:
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    given = array[:, ::-1] if order == "reversed" else np.array(array, order=order)  # type: ignore[call-overload]
    keep_arrays(tmp_path / "new" / "w.safetensors", {"weight": given}, trained_on={"clips": 3})
    found = load_file(tmp_path / "new" / "w.safetensors")["weight"]
    np.testing.assert_array_equal(found, given)
    with safe_open(tmp_path / "new" / "w.safetensors", "numpy") as file:
        assert file.metadata() == {"trained_on": '{"clips": 3}'}
