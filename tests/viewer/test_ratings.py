"""Blinded ratings: what raters see, what is kept, and what is made of it."""

import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from starlette.exceptions import StarletteDeprecationWarning

from stores.dataset_index import write_table
from stores.errors import InputError, SettingsError
from stores.shipped import shipped_file
from tests.command import invoke
from viewer.ratings.answers import SCHEMA, read_answers
from viewer.ratings.results import summarise, write_results
from viewer.ratings.server import create_app
from viewer.ratings.study import Study, make_study, read_questions

with warnings.catch_warnings():  # Prefect brings httpx; Starlette asks for its successor
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from fastapi.testclient import TestClient

ITEMS = [f"clip{number}" for number in range(6)]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Two systems with six files each, that say whose they are; one has another file besides."""
    for system in ("ours", "theirs"):
        for item in ITEMS:
            path = tmp_path / system / f"{item}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"{system} {item}".encode())
    (tmp_path / "ours" / "alone.mp4").write_bytes(b"ours alone")
    (tmp_path / "ours" / "notes.txt").write_text("no video")
    return {system: tmp_path / system for system in ("ours", "theirs")}


def study(folders: dict[str, Path], *kinds: str, seed: int = 0) -> Study:
    """A study with the shipped questions of some kinds."""
    known = read_questions(shipped_file("configs/ratings.yaml"))
    return make_study(folders, {kind: known[kind] for kind in known if kind in kinds}, seed=seed)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Where answers go."""
    return tmp_path / "answers"


def client(folders: dict[str, Path], answers: Path, *kinds: str) -> TestClient:
    """A browser on a study."""
    return TestClient(create_app(study(folders, *kinds), answers), base_url="http://localhost")


def seen(browser: TestClient, trial: dict[str, Any], rater: str) -> list[bytes]:
    """The files of a trial as the rater's browser gets them."""
    return [browser.get(f"/video/{v}", params={"rater": rater}).content for v in trial["videos"]]


def judge(browser: TestClient, rater: str, trials: int = 99) -> dict[str, Any]:
    """Prefer ours by the picture, find no difference in the rest; stop after some trials."""
    trial = browser.get("/api/next", params={"rater": rater}).json()
    while trial["trial"] and trials:
        trials -= 1
        shown = seen(browser, trial, rater)
        ours = next(side for side, file in enumerate(shown) if file.startswith(b"ours"))
        given = {question["name"]: 0 for question in trial["questions"]}
        given["video_quality"] = 1 if ours else -1
        body = {"rater": rater, "trial": trial["trial"], "answers": given, "seconds": 2.5}
        trial = browser.post("/api/answer", json=body).json()
    return trial


def test_order_is_each_raters_own_and_sides_are_even(folders: dict[str, Path]) -> None:
    made = study(folders, "pair")
    anna = made.trials("anna")
    assert anna == study(folders, "pair").trials("anna")
    assert [t.item for t in anna] != [t.item for t in made.trials("bert")]
    assert [t.item for t in anna] != [t.item for t in study(folders, "pair", seed=1).trials("anna")]
    assert sorted(t.item for t in anna) == ITEMS
    assert Counter(t.systems[0] for t in anna) == {"ours": 3, "theirs": 3}
    assert len({t.name for t in anna}) == len(anna)
    both = study(folders, "pair", "single").trials("anna")
    assert Counter(t.kind for t in both) == {"single": 13, "pair": 6}
    assert both[0].kind == "single" and both[-1].kind == "pair"


def test_nothing_the_browser_gets_names_a_system(folders: dict[str, Path], answers: Path) -> None:
    browser = client(folders, answers, "pair", "single")
    for _ in range(3):
        trial = judge(browser, "anna", trials=0)
        text = json.dumps(trial)
        assert not any(word in text for word in ("ours", "theirs", "clip", "mp4"))
        reply = browser.get(f"/video/{trial['videos'][0]}", params={"rater": "anna"})
        told = str({**reply.headers})
        assert not any(word in told for word in ("ours", "theirs", "clip"))
    page = browser.get("/").text
    assert "http://" not in page and "https://" not in page


def test_videos_come_in_ranges(folders: dict[str, Path], answers: Path) -> None:
    browser = client(folders, answers, "pair")
    (name, _) = browser.get("/api/next", params={"rater": "anna"}).json()["videos"]
    part = browser.get(f"/video/{name}", params={"rater": "anna"}, headers={"Range": "bytes=0-3"})
    assert part.status_code == 206 and len(part.content) == 4
    assert part.headers["content-type"] == "video/mp4"
    assert browser.get(f"/video/{name}", params={"rater": "bert"}).status_code == 404
    assert browser.get("/video/..%2Fours", params={"rater": "anna"}).status_code == 404


def test_answers_are_kept_at_once_and_a_rater_goes_on(
    folders: dict[str, Path], answers: Path
) -> None:
    half = judge(client(folders, answers, "pair"), "Anna", trials=2)
    assert (half["done"], half["total"]) == (2, 6)
    assert len(read_answers(answers / "anna.parquet")) == 6
    end = judge(client(folders, answers, "pair"), "anna")
    assert end == {"done": 6, "total": 6, "trial": None}
    rows = read_answers(answers / "anna.parquet")
    assert sorted({row["item"] for row in rows}) == ITEMS
    assert [row["position"] for row in rows] == [1 + n // 3 for n in range(18)]
    for row in rows:
        liked = row["left"] if row["answer"] < 0 else row["right"]
        assert row["answer"] == 0 or (row["question"], liked) == ("video_quality", "ours")
    assert pq.read_schema(answers / "anna.parquet").equals(SCHEMA)


def test_a_rater_goes_on_when_a_system_comes_later(
    folders: dict[str, Path], answers: Path, tmp_path: Path
) -> None:
    judge(client(folders, answers, "pair"), "anna")
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "clip0.mp4").write_bytes(b"third clip0")
    more = client({**folders, "third": tmp_path / "third"}, answers, "pair")
    trial = more.get("/api/next", params={"rater": "anna"}).json()
    assert (trial["done"], trial["total"]) == (6, 8)
    assert any(file == b"third clip0" for file in seen(more, trial, "anna"))


def test_refused(folders: dict[str, Path], answers: Path) -> None:
    browser = client(folders, answers, "pair")
    trial = browser.get("/api/next", params={"rater": "anna"}).json()
    body = {"rater": "anna", "trial": trial["trial"], "answers": {"lip_sync": 0}, "seconds": 1}
    assert browser.post("/api/answer", json=body).status_code == 422
    far = {question["name"]: 2 for question in trial["questions"]}
    assert browser.post("/api/answer", json=body | {"answers": far}).status_code == 422
    fine = {question["name"]: 1 for question in trial["questions"]}
    other = body | {"answers": fine, "rater": "bert"}
    assert browser.post("/api/answer", json=other).status_code == 404
    for name in ("../x", "", "a b", "-", "ä"):
        assert browser.get("/api/next", params={"rater": name}).status_code == 422
    assert not answers.exists()
    assert browser.post("/api/answer", json=body | {"answers": fine}).json()["done"] == 1
    again = browser.post("/api/answer", json=body | {"answers": {q: 0 for q in fine}})
    assert again.json()["done"] == 1
    assert {row["answer"] for row in read_answers(answers / "anna.parquet")} == {1}
    stranger = TestClient(browser.app, base_url="http://elsewhere.example")
    assert stranger.get("/").status_code == 400


def test_pages_of_other_sites_are_refused(folders: dict[str, Path], answers: Path) -> None:
    browser = client(folders, answers, "pair")
    trial = browser.get("/api/next", params={"rater": "anna"}).json()
    fine = {question["name"]: 1 for question in trial["questions"]}
    body = {"rater": "anna", "trial": trial["trial"], "answers": fine, "seconds": 1}
    for origin in ("http://elsewhere.example", "null", "http://localhost:99"):
        refused = browser.post("/api/answer", json=body, headers={"Origin": origin})
        assert refused.status_code == 403
    assert not answers.exists()
    own = browser.post("/api/answer", json=body, headers={"Origin": "http://localhost"})
    assert own.json()["done"] == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_too_large_is_not_read(
    folders: dict[str, Path], answers: Path, chunked: bool
) -> None:
    browser = client(folders, answers, "pair")
    trial = browser.get("/api/next", params={"rater": "anna"}).json()
    answer = {f"question {number}": 1 for number in range(100_000)}
    body = {"rater": "anna", "trial": trial["trial"], "answers": answer, "seconds": 1}
    data = json.dumps(body).encode()
    pieces = (data[start : start + 999] for start in range(0, len(data), 999))
    headers = {"Content-Type": "application/json"}
    refused = browser.post("/api/answer", content=pieces if chunked else data, headers=headers)
    assert refused.status_code == 413


def test_damaged_answers_are_not_overwritten(folders: dict[str, Path], answers: Path) -> None:
    answers.mkdir()
    path = answers / "anna.parquet"
    path.write_bytes(b"PAR1 half")
    browser = client(folders, answers, "pair")
    assert "can't be read" in browser.get("/api/next", params={"rater": "anna"}).json()["detail"]
    with pytest.raises(InputError, match="anna"):
        summarise(answers)
    assert path.read_bytes() == b"PAR1 half"


def test_results(folders: dict[str, Path], answers: Path, tmp_path: Path) -> None:
    browser = client(folders, answers, "pair")
    for rater in ("anna", "bert", "carl"):
        judge(browser, rater)
    found = {p.question: p for p in summarise(answers).preferences}
    texts = {q.name: q.text for q in study(folders, "pair").questions["pair"]}
    picture, lips = found[texts["video_quality"]], found[texts["lip_sync"]]
    assert (picture.first, picture.second, picture.wins) == ("ours", "theirs", (18, 0, 0))
    assert picture.share.mean == picture.share.low == picture.share.high == 1
    assert (lips.share.mean, lips.wins, lips.raters) == (0.5, (0, 18, 0), 3)
    turned = summarise(answers, ["theirs", "ours"]).preferences[0]
    assert turned.first == "theirs"
    _, table = write_results(summarise(answers), tmp_path / "results")
    assert pq.read_table(table).num_rows == 3
    assert summarise(answers, ["nobody"]).preferences == []


def test_mean_opinion_scores(answers: Path) -> None:
    base: dict[str, Any] = dict.fromkeys(SCHEMA.names, "") | {"seconds": 1.0, "seed": 0}
    base |= {"kind": "single", "question": "n", "question_text": "How natural?"}
    for rater, gift in (("anna", 0), ("bert", 1)):
        rows = [
            base
            | {"rater": rater, "item": item, "left": system, "position": 1, "answer": score + gift}
            for item in ITEMS
            for system, score in (("ours", 4), ("theirs", 2))
        ]
        write_table(answers / f"{rater}.parquet", SCHEMA, rows)
    ours, theirs = summarise(answers).scores
    assert (ours.system, ours.score.mean, ours.score.n, ours.raters) == ("ours", 4.5, 12, 2)
    assert (theirs.score.mean, theirs.score.low, theirs.score.high) == (2.5, 2.0, 3.0)


def test_command(folders: dict[str, Path], answers: Path) -> None:
    judge(client(folders, answers, "pair"), "anna")
    shown = invoke("rate", "--results", "--answers", str(answers), "--json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["preferences"][2]["first_wins"] == 6
    assert (answers / "results" / "preferences.parquet").is_file()
    table = invoke("rate", "--results", "--answers", str(answers))
    assert "ours" in table.stdout
    for arguments, reason in (
        (["rate"], "NAME=FOLDER"),
        (["rate", "ours"], "NAME=FOLDER"),
        (["rate", "a=/nowhere"], "no folder"),
        (["rate", f"a={folders['ours']}"], "two systems"),
        (["rate", f"a={folders['ours']}", "--ask", "all"], "pair, single or both"),
        (["rate", "--results", "--answers", "/nowhere"], "no answers"),
    ):
        refused = invoke(*arguments)
        assert refused.exit_code == 1 and reason in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["[", "lips: {a: b}", "single: [a]", "single: {a: 1}", ""])
def test_questions_that_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"questions\.yaml"):
        read_questions(path)
