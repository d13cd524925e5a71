"""Benchmarks call stages with the arguments that these have, though no test runs them."""

import ast
import importlib
import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from tasks.engine.stage import Stage
from tasks.source.seen import Seen

ROOT = Path(__file__).parent.parent
SEEN = {field.name for field in fields(Seen)}


def faults(path: Path) -> list[str]:
    """Calls of stages in a file that leave out what is needed, or give what there isn't."""
    module = importlib.import_module(f"{path.parent.name}.{path.stem}")
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        stage = getattr(module, node.func.id, None) if _is_plain(node) else None
        if not isinstance(stage, Stage):
            continue
        named = {keyword.arg for keyword in node.keywords}
        parameters = stage.signature.parameters
        names = list(parameters)
        known = set(names[: len(node.args)]) | (SEEN if len(node.args) == 1 else set())
        needed = {
            n for n in names if stage.signature.parameters[n].default is inspect.Parameter.empty
        }
        for problem in (needed - named - known, named - set(names)):
            found += [f"{path.name}:{node.lineno}: {stage.address}: {name}" for name in problem]
    return found


def _is_plain(node: ast.AST) -> bool:
    """Whether it calls a name, and names every argument."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    starred = any(isinstance(given, ast.Starred) for given in node.args)
    return not starred and all(keyword.arg for keyword in node.keywords)


@pytest.mark.long
def test_benchmarks_call_stages_as_they_are() -> None:
    pytest.importorskip("torch")
    paths = sorted((ROOT / "benchmarks").glob("[!_]*.py"))
    assert [fault for path in paths for fault in faults(path)] == []


def test_a_call_that_lacks_an_argument_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_calls"
    folder.mkdir()
    (folder / "wrong.py").write_text(
        "from tasks.speech.waveform import waveform\ndef go():\n    waveform(sound=1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = faults(folder / "wrong.py")
    assert len(found) == 2 and "audio" in found[0] and "sound" in found[1]
