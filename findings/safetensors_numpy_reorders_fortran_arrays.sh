#!/bin/sh
# Guess:    an array that safetensors.numpy takes without a word is the same array when it is loaded,
#           however it lies in memory; the same call for torch raises an error where it can't keep that.
# Happens:  with 0.8.0 an array in Fortran order, such as a transpose or what numpy.linalg.eigh gives,
#           comes back with its shape, and its values in other places. With 0.7.0 it comes back as it
#           was.
# Versions: safetensors 0.7.0 and 0.8.0, numpy 2.3.4
# Source:   the docstring of save_file asks for arrays that are "contiguous and dense", which one in
#           Fortran order is by its flags; https://github.com/safetensors/safetensors/issues/825
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 0.7.0 0.8.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "safetensors==$version" numpy==2.3.4
    "$folder/$version/bin/python" - <<'PYTHON'
import numpy as np
import safetensors
from safetensors.numpy import load, save

print("safetensors", safetensors.__version__, "numpy", np.__version__)
rows = np.arange(6, dtype=np.float32).reshape(2, 3)
given = {"C": rows, "Fortran": np.asfortranarray(rows)}
kept = {}
for name, array in given.items():
    again = load(save({"array": array}))["array"]
    kept[name] = bool(np.array_equal(again, array))
    print(f"{name} order: {array.tolist()} comes back as {again.tolist()}")
lost = safetensors.__version__ == "0.8.0"
if kept != {"C": True, "Fortran": not lost}:
    raise SystemExit(f"changed: {kept}")
PYTHON
done
echo "as described"
