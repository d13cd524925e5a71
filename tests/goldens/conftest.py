"""`pytest -k golden --goldens-table FILE` writes how near each golden was."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.goldens import golden


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in the order in which the reference made them; two tests share two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if target := session.config.getoption("--goldens-table", default=None):
        rows = [
            "| golden | parameters | largest error / rms | of what is allowed |",
            "|---|--:|--:|--:|",
        ]
        for name in sorted(golden.errors):
            manifest = json.loads((golden.folder() / f"{name}.json").read_text())
            parameters = f"{manifest['n_parameters']:,}" if "n_parameters" in manifest else ""
            rows.append(
                f"| {name} | {parameters} | {golden.errors[name]:.1e} | {golden.worst[name]:.1%} |"
            )
        Path(target).write_text("\n".join(rows) + "\n")
