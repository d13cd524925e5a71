"""What users read of what failed."""

import re
from importlib.metadata import requires

import pytest

from flows.faults import how_to_install, reason_of
from stores.errors import InputError


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        ("skimage.metrics", r"the package scikit-image: pip install 'dubflow\[methods\]'"),
        ("gfpgan", r"pip install 'dubflow\[restore\]'"),
        ("tensorboard", r"pip install 'dubflow\[train\]'"),
        ("distributed", r"pip install 'dubflow\[cluster\]'"),
        ("pocketsphinx", r"pip install 'dubflow\[metrics\]'"),
    ],
)
def test_a_package_of_an_extra_is_named_with_the_extra(module: str, wanted: str) -> None:
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert re.search(wanted, how_to_install(error) or "")
    assert re.search(wanted, reason_of(error))


def test_what_no_extra_brings_is_our_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'nothing'", name="nothing")
    assert how_to_install(error) is None
    assert reason_of(error).startswith("internal error")
    assert "ModuleNotFoundError" in capsys.readouterr().err
    assert reason_of(InputError("no such file")) == "no such file"


def test_the_default_needs_no_extra() -> None:
    plain = [each for each in requires("dubflow") or [] if "extra ==" not in each]
    names = {re.split(r"[<>=!\[; ]", each)[0] for each in plain}
    assert {"prefect", "zarr", "librosa", "mediapipe", "pyarrow"} <= names
    assert not names & {"dask", "torch", "gfpgan", "face-alignment", "torchvision", "jax"}
