"""What `pip install dubflow` brings: the default method runs from it, without torch."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_RUN = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "dask", "obstore", "skimage"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import flows
print(flows.__file__)
from flows.cli.app import main
main(sys.argv[1:])
"""


@pytest.mark.long
def test_the_wheel_dubs_without_what_the_extras_bring(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns(".*", "docs", "tests", "build", "__pycache__", "*.egg-info")
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=left_out)
    build = [
        "-m",
        "pip",
        "wheel",
        source,
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        tmp_path,
    ]
    subprocess.run([sys.executable, *build], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("dubflow-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "installed")
        names = opened.namelist()
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    arguments = ["demo", "--store", tmp_path / "store", "-o", tmp_path / "demo.mp4"]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(tmp_path)
    assert (tmp_path / "demo.mp4").stat().st_size > 100_000
    lacking = subprocess.run(
        [
            sys.executable,
            "-c",
            _RUN,
            "train",
            "stylegan2.identity",
            "--data",
            "x.parquet",
            "-o",
            "t",
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "pip install 'dubflow[methods]'" in lacking.stderr
    assert len(lacking.stderr.splitlines()) == 1
