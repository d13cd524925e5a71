"""What a user is told of the mouths that a source holds."""

from typing import Any

import pytest

from tasks.methods.exemplar import LOW_REACH, _plan_render
from tests.tasks.face_seen import Known


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"bank_frames": 200, "in_reach": LOW_REACH}, ""),
        ({"bank_frames": 200, "in_reach": 0.423}, "the source shows only 42 % of the mouths"),
        ({"bank_frames": 30, "in_reach": 0.423}, "only 30 source frames show a free mouth"),
        ({"bank_frames": 200, "in_reach": None}, ""),
    ],
)
def test_a_source_that_holds_few_of_the_wanted_mouths_is_told(
    facts: dict[str, Any], words: str
) -> None:
    crops = Known({}, {"crop_size_px": 96})
    plan = _plan_render(Known({}, facts), Known({}), crops)  # type: ignore[arg-type]
    assert plan.attributes["in_reach"] == facts["in_reach"]
    notes = plan.attributes["notes"]
    assert len(notes) == bool(words) and all(words in note for note in notes)
    assert all("a longer source" in note for note in notes)
