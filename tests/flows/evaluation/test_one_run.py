"""An evaluation holds its store from end to end, and merges settings in one way."""

from pathlib import Path
from typing import Any

import pytest

from flows import evaluate as module
from flows.evaluate import check, evaluate
from flows.evaluation.item import options_of
from flows.evaluation.protocols import Item
from flows.evaluation.settings import EvaluateSettings
from stores.artifacts.store import Store
from stores.collector import collect
from stores.errors import StoreError
from tests.flows.evaluation.test_protocols import protocol


def settings(folder: Path, **changes: Any) -> EvaluateSettings:
    given = {
        "protocols": ["folder_paired"],
        "data": folder,
        "output": folder / "out",
        "store": str(folder / "store"),
    }
    return EvaluateSettings.model_validate(given | changes)


def test_settings_of_the_user_lie_over_those_of_the_protocol(tmp_path: Path) -> None:
    rules = protocol(methods={"exemplar": {"crops": {"bank_limit": 7}, "adapt": False}})
    given = settings(tmp_path, method_settings={"exemplar": {"crops": {"size": 96}}})
    item = Item("one", tmp_path / "one.mp4", tmp_path / "one.mp4")
    merged = {"crops": {"bank_limit": 7, "size": 96}, "adapt": False}
    assert options_of(given, rules, "exemplar", item) == merged
    seen: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "method_settings", lambda name, options: seen.append(options))
        patch.setattr(module, "find_method", lambda name: _NoWeights)
        check(given, {"p": rules}, {"p": [item, item]})
    assert seen == [merged]


class _NoWeights:
    @staticmethod
    def weights(options: Any) -> tuple[str, ...]:
        return ()


class Seen(Exception):
    """As far as the test goes."""


def test_nothing_is_collected_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(*_: Any) -> list[Any]:
        with pytest.raises(StoreError, match="a run is working on the store"):
            collect(Store(tmp_path / "store"), dry_run=False)
        raise Seen

    monkeypatch.setattr(module, "_families", lambda given: ({}, {}))
    monkeypatch.setattr(module, "find_items", lambda rules, data: [])
    monkeypatch.setattr(module, "_scored", scored)
    with pytest.raises(Seen):
        evaluate(settings(tmp_path, methods=["source"]))
