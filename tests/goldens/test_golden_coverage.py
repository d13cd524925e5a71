"""No golden goes untested, and no network is built that has none."""

import ast
import json
from pathlib import Path

from models.published import NAMES
from tests.goldens.golden import folder

TESTS = {
    node.name.removeprefix("test_golden_")
    for path in Path(__file__).parent.glob("test_golden_*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_golden_")
}


def test_every_golden_has_a_test() -> None:
    names = {path.stem for path in folder().glob("*.json")}
    assert names
    assert names <= TESTS


def test_every_network_of_the_goldens_is_built_by_name() -> None:
    manifests = (json.loads(path.read_text()) for path in folder().glob("*.json"))
    assert {m["name"] for m in manifests if "state_dict" in m} <= set(NAMES)
