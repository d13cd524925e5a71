"""The report's figures, what it chooses to show, and both of its forms."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.viewer.sample import METRICS, SYSTEMS, curves, report
from viewer.intervals import Interval, crossed_interval, mean_interval
from viewer.report.choose import curves_to_show, moments_to_show
from viewer.report.data import Curve, Failure, Part, PooledScore, Score, System
from viewer.report.render import interval, number, to_html, to_markdown, write_report
from viewer.report.tables import duels, metric_tables, untried

VOID = {"meta", "img", "br", "path", "link", "input"}


def test_mean_interval_is_that_of_the_normal_and_always_the_same() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = mean_interval(values)
    assert found == mean_interval(values)
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.02
    )
    assert mean_interval([1.0, 3.0]) == Interval(2.0, None, None, 2)
    with pytest.raises(ValueError, match="finite"):
        mean_interval([1.0, float("nan")])


def test_many_values_are_drawn_in_blocks() -> None:
    found = mean_interval(np.arange(5000.0))
    assert found.low is not None and found.low == pytest.approx(2499.5 - 40, abs=3)


def test_ratings_of_two_people_are_not_forty_opinions() -> None:
    answers = [5.0] * 20 + [1.0] * 20
    raters, items = ["a"] * 20 + ["b"] * 20, [str(number) for number in range(20)] * 2
    found = crossed_interval(answers, raters, items)
    assert (found.mean, found.low, found.high, found.n) == (3.0, 1.0, 5.0, 40)


def test_tables_count_failures_and_mark_the_best() -> None:
    shown = report()
    tables = {table.metric.name: table for table in metric_tables(shown, shown.parts[0])}
    ours, theirs = tables["jitter"].cells
    assert (ours.missing, theirs.missing) == (0, 3)
    assert theirs.reasons == (("no face in the result", 2), ("no result: no file clip_9.mp4", 1))
    assert theirs.fewer and not ours.fewer
    assert [cell.best for cell in tables["psnr"].cells] == [True, False]
    assert [cell.best for cell in tables["lag"].cells] == [False, False]
    assert tables["fid"].pooled and tables["fid"].cells[0].mean == Interval(12.34, None, None, 8)
    assert tables["fid"].cells[1].reasons == (("no reason given", 1),)
    assert tables["lse_d"].how == "dubflow weights fetch syncnet_v2"
    assert [metric.name for metric in untried(shown, list(tables.values()))] == ["truth"]


def test_drift_to_both_sides_is_no_smaller_drift() -> None:
    systems = (System("swings"), System("steady"))
    scores = [Score("swings", str(i), "seam", (-1.0) ** i) for i in range(4)]
    scores += [Score("steady", str(i), "seam", 0.1) for i in range(4)]
    part = Part("p", "", scores)
    shown = replace(report(), systems=systems, parts=(part,))
    assert [cell.best for cell in metric_tables(shown, part)[0].cells] == [False, True]
    (duel,) = duels(shown, part)
    assert duel.difference.mean == pytest.approx(0.9) and duel.better == "steady"


def test_a_value_that_is_no_number_is_a_failure() -> None:
    scores = [Score("exemplar", str(i), "psnr", v) for i, v in enumerate([30.0, float("inf")])]
    part = Part("p", "", scores)
    ours, theirs = metric_tables(report(), part)[0].cells
    assert ours.mean == Interval(30.0, None, None, 1)
    assert ours.reasons == (("the value is inf", 1),)
    assert theirs.mean is None


def test_duels_pair_clips() -> None:
    shown = report()
    by_name = {duel.metric.name: duel for duel in duels(shown, shown.parts[0])}
    assert by_name["psnr"].difference.mean == pytest.approx(2, abs=0.2)
    assert by_name["psnr"].wins == (8, 0, 0) and by_name["psnr"].better == "exemplar"
    assert by_name["jitter"].difference.n == 6 and by_name["jitter"].better == ""
    assert by_name["lag"].wins is None


def test_the_worst_moment_comes_first_and_others_keep_apart() -> None:
    picks = moments_to_show(curves(), METRICS)
    assert len(picks) == 12
    assert (picks[0].item, picks[0].frame, picks[0].value) == ("clip_3", 120, 1.0)
    for pick in picks:
        near = [
            other
            for other in picks
            if (other.system, other.item) == (pick.system, pick.item)
            and abs(other.second - pick.second) < 1
        ]
        assert near == [pick]
    assert {pick.metric for pick in picks[:2]} == {"psnr", "jitter"}


def test_moments_of_undefined_or_constant_curves_are_none() -> None:
    seconds = np.arange(30) / 25
    flat = [
        Curve("exemplar", "a", "psnr", seconds, np.full(30, np.nan)),
        Curve("exemplar", "a", "jitter", seconds, np.zeros(30)),
        Curve("exemplar", "a", "lag", seconds, np.arange(30.0)),
    ]
    assert moments_to_show(flat, METRICS) == []
    assert curves_to_show(flat, METRICS) == []


def test_curves_of_the_clip_that_differs() -> None:
    seconds = np.arange(30) / 25
    made = [
        Curve(system, item, "psnr", seconds, np.full(30, 30.0 - 9 * (item == "b") * second))
        for item in "abc"
        for second, system in enumerate(("exemplar", "other & co"))
    ]
    made[0].values[3], made[1].values[4] = np.inf, np.nan
    shown = curves_to_show(made, METRICS, count=1)
    assert [(curve.system, curve.item) for curve in shown] == [
        ("exemplar", "b"),
        ("other & co", "b"),
    ]


def test_numbers() -> None:
    assert number(12.345, 1) == "12.3"
    assert number(0.0004, 2) == "4.0e-04"
    assert number(0.0, 2) == "0.00"
    assert interval(Interval(0.1, -0.001, 0.2, 5), 2) == "[0.00, 0.20]"
    assert interval(Interval(0.1, None, None, 2), 2) == ""


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = to_html(report())

    class Checked(HTMLParser):
        open_tags: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in VOID:
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in VOID:
                assert self.open_tags.pop() == tag

    parser = Checked()
    parser.open_tags = []
    parser.feed(page)
    assert parser.open_tags == []
    assert not re.search(r"(src|href)=\"(?!data:|#)", page) and "@import" not in page
    assert "Seam &lt;energy&gt;" in page and "other &amp; co" in page
    assert "not available: dubflow weights fetch syncnet_v2" in page
    assert page.count("data:image/jpeg") == 12
    assert page.count('class="chart"') == 4
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_page_says_how_to_look_into_a_video() -> None:
    told = replace(report(), look="dubflow inspect VIDEO", look_address="http://h/?token=a#/home")
    assert "<code>dubflow inspect VIDEO</code>" in to_html(told)
    assert 'href="http://h/?token=a#/home"' in to_html(told)
    assert "`dubflow inspect VIDEO`" in to_markdown(told)
    assert "inspect" not in to_html(report())


def test_files(tmp_path: Path) -> None:
    page, text = write_report(report(), tmp_path / "new" / "report")
    written = text.read_text()
    for picture in re.findall(r"\]\((moments/[^)]+)\)", written):
        assert (text.parent / picture).read_bytes().startswith(b"\xff\xd8")
    assert written.count("](moments/") == 12
    tables = re.findall(r"(?:^\|.*\n)+", written, re.MULTILINE)
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table
    assert page.stat().st_size < 500_000
    again, _ = write_report(report(), tmp_path / "again")
    assert again.read_bytes() == page.read_bytes()


def test_a_report_of_nothing() -> None:
    empty = replace(
        report(), systems=(), parts=(Part("empty", "", ()),), opinions=None, unavailable=()
    )
    assert "empty" in to_html(empty)


def test_nothing_is_bold_that_failed_on_a_clip() -> None:
    scores = [Score("exemplar", str(i), "psnr", 30.0) for i in range(3)]
    scores += [Score("other & co", str(i), "psnr", 40.0) for i in range(2)]
    whole = Part("p", "", scores)
    broken = replace(whole, failures=[Failure("other & co", "2", "no file 2.mp4")])
    skipped = replace(whole, failures=[Failure("other & co", "2", "skipped: shorter than 2 s")])
    best = [
        [cell.best for cell in metric_tables(report(), part)[0].cells]
        for part in (whole, broken, skipped)
    ]
    assert best == [[False, True], [False, False], [False, True]]
    pooled = [PooledScore(s.name, "fid", v, 3) for s, v in zip(SYSTEMS, (9.0, 1.0), strict=True)]
    part = replace(broken, pooled=pooled, scores=[])
    assert [cell.best for cell in metric_tables(report(), part)[0].cells] == [False, False]


def test_what_is_too_short_is_skipped_and_has_not_failed() -> None:
    scores = [Score("exemplar", "0", "psnr", 30.0)]
    scores += [Score("exemplar", "1", "psnr", None, "skipped: shorter than 4.04 s of a face")]
    failures = [Failure("exemplar", "2", "skipped: shorter than 2 s")]
    shown = replace(report(), parts=(Part("p", "", scores, failures=failures),))
    ours = metric_tables(shown, shown.parts[0])[0].cells[0]
    assert (ours.missing, ours.skipped) == (0, 2)
    page, text = to_html(shown), to_markdown(shown)
    assert "2 skipped" in page and "1 missing" not in page and "1 without a result" not in page
    assert "exemplar, 2: skipped: shorter than 2 s" in text


def test_lip_openings_are_drawn_as_asked_rendered_and_true() -> None:
    seconds = np.arange(50) / 25
    openings = [
        Curve(what, "exemplar, clip_3", "opening", seconds, 3 + n + np.sin(9 * seconds))
        for n, what in enumerate(("asked", "rendered", "true"))
    ]
    page = to_html(replace(report(), parts=(Part("p", "", [], openings=openings),)))
    figure = page.partition("Lip opening of the worst results")[2].partition("</figure>")[0]
    assert [f"<title>{what}</title>" in figure for what in ("asked", "rendered", "true")] == [
        *(True, True, True)
    ]
    assert "<figcaption>exemplar, clip_3</figcaption>" in figure
