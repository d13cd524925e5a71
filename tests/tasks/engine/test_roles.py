"""Artifacts of one kind in one run are told apart by what they are for."""

from tasks.engine.run import Run, told_as
from tests.tasks.toy_stages import ToySettings, numbers, total


class Ended:
    """Notes the titles of stages that begin and end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.rows: dict[str, int] = {}

    def begin(self, stage: str, rows: int | None, done: int) -> None:
        self.begun.append(stage)

    def advance(self, stage: str, rows: int) -> None:
        self.rows[stage] = self.rows.get(stage, 0) + rows

    def end(self, stage: str, *, cached: bool) -> None:
        self.ended.append(stage)

    def note(self, text: str) -> None:
        return


def test_a_role_goes_on_to_what_is_made_of_nothing_else(run: Run) -> None:
    run.progress = watch = Ended()
    with told_as("speech"):
        new = numbers(40, ToySettings())
    old = numbers(20, ToySettings())
    total(new)
    total(old)
    total(new, extra=old)
    titles = ["numbers (speech)", "numbers", "total (speech)", "total", "total"]
    assert watch.begun == watch.ended == titles
    assert watch.rows == {"numbers (speech)": 40, "numbers": 20}
    assert [each.role for each in run.records] == ["speech", "", "speech", "", ""]
