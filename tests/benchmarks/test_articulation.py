"""Shares of sounds over clips, beside what chance gives."""

from benchmarks.articulation import shares


def test_shares_are_of_all_sounds_and_intervals_over_clips() -> None:
    assert shares([(10, 8, 3.0), (10, 8, 3.0)]) == ("80", "30", "50 (50 to 50)")
    met, chance, beyond = shares([(30, 30, 15.0), (10, 0, 5.0)])
    assert (met, chance) == ("75", "50")
    assert beyond == "25 (-50 to 50)"
