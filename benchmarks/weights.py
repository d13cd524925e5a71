"""How benchmarks that train what ships keep it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file


def keep_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], **facts: object) -> None:
    """Write a weights file, with facts about it as JSON in its metadata.

    Arrays are brought to C order first: safetensors 0.8 writes others as they lie in memory
    (`findings/safetensors_numpy_reorders_fortran_arrays.sh`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    dense = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {name: json.dumps(fact) for name, fact in facts.items()}
    save_file(dense, path, metadata=metadata or None)
