"""Networks that benchmarks name are built here."""

from benchmarks import networks, video_retalking
from models.published import NAMES


def test_the_networks_of_benchmarks_are_there() -> None:
    named = {*networks.SAMPLES, *video_retalking.DETECTORS, video_retalking.PARSER}
    assert named <= set(NAMES)
