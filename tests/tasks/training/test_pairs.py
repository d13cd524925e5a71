"""Pairs of speech and expression: what is cut, what is held out, and what is learned of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flows.recipes import recipe_settings
from flows.train import train
from flows.training.job import Job
from flows.training.pair_data import open_pairs
from flows.training.settings import TrainSettings
from models.meta_talk.expression import SpeechToExpression, predict
from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tasks.methods.expression_pairs import EXPRESSION_PAIRS
from tasks.source.face_basis import own_basis_key
from tasks.source.timeline import timeline
from tasks.speech.atnet_features import ATNET_FEATURES
from tasks.speech.speech_windows import SPEECH_WINDOWS
from tasks.training.dataset import WindowLoader
from tasks.training.pairs import PairBlocks, PairWindows, read_pairs, split, write_pairs
from tasks.training.recipe import NoTrainingObserver
from tasks.weights.networks import load_network, trained_weights
from tests.media_factory import make_video

SETTINGS = PairWindows(frames=4, stride=4)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tests run side by side; so small networks are no slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def put(
    store: Store,
    schema: Schema,
    arrays: dict[str, NDArray[Any]],
    inputs: dict[str, tuple[str, str]],
    parameters: dict[str, Any],
    facts: dict[str, Any],
) -> Artifact:
    made_of = Derivation.of(schema, 1, inputs, parameters)
    builder = store.builder(made_of, {"tick": len(next(iter(arrays.values())))})
    builder.prepare()
    builder.write_whole(arrays)
    builder.commit(facts, seconds=0.0)
    return store.get(schema.kind, made_of.key)


def put_pairs(
    store: Store,
    feature: NDArray[np.float32],
    delta: NDArray[np.float32],
    speaker: str,
    clip: Artifact | None = None,
    **facts: Any,
) -> Artifact:
    """Pairs whose features and expressions are known; the tenth tick is a hole."""
    atnet = feature.shape[1] == 1
    parameters = {"speaker": speaker} | ({} if atnet else {"features": "logmel80"})
    schema = ATNET_FEATURES if atnet else SPEECH_WINDOWS
    heard = put(store, schema, {"feature": feature.astype(np.float16)}, {}, parameters, {})
    valid = np.arange(len(delta)) != 10
    arrays = {"delta": delta * valid[:, None], "valid": valid}
    told = {"labels": "pseudo", "speaker": speaker, "basis": own_basis_key(), "person": None}
    inputs = {"features": (heard.kind, heard.key)}
    if clip is not None:
        inputs["timeline"] = (clip.kind, clip.key)
    return put(store, EXPRESSION_PAIRS, arrays, inputs, {"speaker": speaker}, told | facts)


def counted(ticks: int, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features and expressions that tell their tick and the number of their speech."""
    feature = np.zeros((ticks, 1, 256), np.float32)
    feature[:, 0, 0], feature[:, 0, 1] = np.arange(ticks), number
    delta = np.zeros((ticks, 64), np.float32)
    delta[:, 0], delta[:, 1] = np.arange(ticks), number
    return feature, delta


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def pairs(store: Store) -> list[Artifact]:
    lengths = (900, 30, 41, 3)
    return [
        put_pairs(store, *counted(ticks, number), f"s{number}")
        for number, ticks in enumerate(lengths)
    ]


def loader(store: Store, pairs: Sequence[Artifact], **changes: Any) -> WindowLoader:
    parts = split(pairs, "time")[0]
    given = {"batch_size": 8, "mixed_blocks": 2, "seed": 3} | changes
    return WindowLoader(PairBlocks(parts, store.url, SETTINGS), **given)


def test_a_sample_hears_around_what_it_shows(store: Store, pairs: list[Artifact]) -> None:
    lengths = [pair.sizes["tick"] for pair in pairs]
    seen = 0
    for batch in loader(store, pairs):
        assert batch["feature"].shape == (8, 10, 1, 256) and batch["delta"].shape == (8, 4, 64)
        for row, sample in zip(batch["row"].tolist(), range(8), strict=True):
            tick, number = batch["delta"][sample, :, :2].T
            first = int(tick[-1]) - 3
            hole = batch["valid"][sample].logical_not()
            assert (torch.arange(first, first + 4)[hole] == 10).all()
            assert torch.equal(tick[~hole].long(), torch.arange(first, first + 4)[~hole])
            assert (number[~hole] == row).all()
            around = torch.arange(first - 3, first + 7)
            inside = (around >= 0) & (around < lengths[row])
            assert torch.equal(batch["inside"][sample], inside)
            heard = batch["feature"][sample, :, 0, 0]
            assert torch.equal(heard, torch.where(inside, around, 0).float())
            seen += 1
    assert seen


@pytest.mark.parametrize("stop", [0, 1, 7, 23])
def test_it_goes_on_with_the_very_next_batch(
    store: Store, pairs: list[Artifact], stop: int
) -> None:
    straight, broken = loader(store, pairs), loader(store, pairs)
    wanted = [*straight, *straight]
    batches = iter(broken)
    for _ in range(stop):
        next(batches)
    taken_up = loader(store, pairs, workers=0)
    taken_up.load_state_dict(broken.state_dict())
    rest = [*taken_up, *taken_up][: len(wanted) - stop]
    assert len(rest) == len(wanted) - stop
    for mine, theirs in zip(rest, wanted[stop:], strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    with pytest.raises(ValueError, match="data"):
        loader(store, pairs[1:]).load_state_dict(straight.state_dict())


def test_nothing_that_is_judged_by_is_learned_from(store: Store, pairs: list[Artifact]) -> None:
    learned, judged = split(pairs, "time")
    assert [(p.start, p.stop) for p in learned] == [(0, 720), (0, 24), (0, 33), (0, 2)]
    assert [(p.start, p.stop) for p in judged] == [(720, 900), (24, 30), (33, 41), (2, 3)]
    learned, judged = split(pairs, "speaker")
    assert len({p.speaker for p in judged}) == 1 and len(learned) == 3
    assert not {p.speaker for p in judged} & {p.speaker for p in learned}
    assert split(pairs[::-1], "speaker")[1][0].speaker == judged[0].speaker
    with pytest.raises(InputError, match="held_out=time"):
        split(pairs[:1], "speaker")


def test_statistics_are_those_of_what_is_learned_from(store: Store, pairs: list[Artifact]) -> None:
    found = PairBlocks(split(pairs, "time")[0], store.url, SETTINGS).statistics()
    ticks = np.concatenate([np.arange(n) for n in (720, 24, 33)])
    np.testing.assert_allclose(found["band_mean"][0], ticks.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["band_spread"][0], ticks.std(), rtol=1e-5)
    known = ticks[ticks != 10]
    np.testing.assert_allclose(found["delta_mean"][0], known.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["delta_spread"][0], known.std(), rtol=1e-5)


def job(index: Path, store: Store, **own: Any) -> Job:
    given = {"size": {"features": "atnet"}, "held_out": "time"} | own
    trainer, settings = recipe_settings("meta_talk.expression", None, trainer={}, settings=given)
    name = "meta_talk.expression"
    return Job(name, settings, trainer, index, store.url, index.parent, NoTrainingObserver)


def test_what_does_not_belong_together_is_refused(
    store: Store, pairs: list[Artifact], tmp_path: Path
) -> None:
    index = tmp_path / "pairs.json"
    write_pairs(index, pairs)
    assert [p.key for p in read_pairs(index, store)] == [p.key for p in pairs]
    assert open_pairs(job(index, store)).facts["person"] is None
    with pytest.raises(InputError, match="no real pairs"):
        open_pairs(job(index, store, pairs="real"))
    with pytest.raises(InputError, match=r"features atnet; set size\.features"):
        open_pairs(job(index, store, size={"features": "logmel80"}))
    others = [put_pairs(store, *counted(40, n), f"x{n}", person=f"p{n}") for n in range(2)]
    write_pairs(index, [*pairs, others[0]])
    assert open_pairs(job(index, store)).facts["person"] == "p0"
    write_pairs(index, others)
    with pytest.raises(InputError, match="2 persons"):
        open_pairs(job(index, store))
    write_pairs(index, [put_pairs(store, *counted(40, 9), "y", basis="of another")])
    with pytest.raises(InputError, match="another face basis"):
        open_pairs(job(index, store))
    index.write_text('{"pairs": ["0123"]}')
    with pytest.raises(InputError, match="make the pairs again"):
        open_pairs(job(index, store))
    index.write_text("frames")
    with pytest.raises(InputError, match="no list of pairs"):
        open_pairs(job(index, store))


@pytest.mark.parametrize(("ticks", "held_out"), [(160, 0.2), (200, 0.0)])
def test_it_is_told_whether_the_last_fifth_of_the_own_speech_is_learned_from(
    store: Store, tmp_path: Path, ticks: int, held_out: float
) -> None:
    with open_run(store):
        clip = timeline(Source.of(make_video(tmp_path / "film.mp4", frames=200, size=(16, 16))))
    others = [put_pairs(store, *counted(50, 20 + n), f"{ticks} s{n}") for n in range(4)]
    own = put_pairs(store, *counted(ticks, 30), f"{ticks} me", clip, labels="real")
    write_pairs(tmp_path / "pairs.json", [*others, own])
    both = job(tmp_path / "pairs.json", store, pairs="both", held_out="speaker")
    assert split([*others, own], "speaker")[0][-1].speaker == f"{ticks} me"
    assert open_pairs(both).facts["held_out"] == held_out
    real = job(tmp_path / "pairs.json", store, pairs="real", held_out="time")
    assert open_pairs(real).facts["held_out"] == 0.2


def speech(ticks: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Windows of a drawn spectrogram of four patterns, and expressions that follow from them."""
    drawn = np.random.default_rng(seed)
    slow = np.repeat(drawn.standard_normal((ticks // 4 + 10, 4)), 16, 0)
    patterns, shapes = drawn.standard_normal((4, 80)), drawn.standard_normal((4, 64))
    steps = (slow @ patterns + 0.1 * drawn.standard_normal((len(slow), 80))).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(steps, 28, 0)[::4][:ticks].swapaxes(1, 2)
    middle = np.lib.stride_tricks.sliding_window_view(slow, 28, 0)[::4][:ticks, :, 12:16].mean(2)
    return windows, (np.tanh(middle) @ shapes).astype(np.float32)


def overfitted(
    store: Store, folder: Path, *, ticks: int, steps: int, frames: int, **trainer: Any
) -> tuple[dict[str, Any], SpeechToExpression, Any, Any]:
    """Train on one speech, and what is needed to judge by it."""
    windows, delta = speech(ticks, 1)
    write_pairs(folder / "pairs.json", [put_pairs(store, windows, delta, f"one of {ticks}")])
    given = {
        "recipe": "meta_talk.expression",
        "preset": "small",
        "data": folder / "pairs.json",
        "output": folder / "run",
        "store": store.url,
        "trainer": {"steps": steps, "validate_every": steps, "checkpoint_every": steps, **trainer},
        "settings": {
            "size": {"width": 4},
            "held_out": "time",
            "gain_db": 0,
            "frames": frames,
            "schedule": {"rise_steps": 5, "fall_steps": steps},
        },
    }
    card = train(TrainSettings.model_validate(given))
    weights = trained_weights(folder / "run" / "meta_talk_expression.safetensors", store=store)
    network = load_network(weights)
    assert isinstance(network, SpeechToExpression)
    return card, network, windows, delta


def left(network: SpeechToExpression, windows: Any, delta: Any) -> float:
    """Share of the variance of what was learned from that is not found."""
    learned = np.arange(round(0.8 * len(delta)))
    learned = learned[learned != 10]
    off = predict(network, windows)[learned] - delta[learned]
    return float(np.square(off).mean() / np.square(delta[learned] - delta[learned].mean(0)).mean())


@pytest.mark.long
def test_a_network_learns_and_its_file_says_of_whom(store: Store, tmp_path: Path) -> None:
    card, network, windows, delta = overfitted(
        store, tmp_path, ticks=160, steps=40, frames=8, batch_size=4
    )
    assert left(network, windows, delta) < 0.5
    assert network.size.features == "logmel80"
    weights = trained_weights(tmp_path / "run/meta_talk_expression.safetensors", store=store)
    told = weights.attributes["trained_on"]
    assert told["basis"]["key"] == own_basis_key() and told["person"] is None
    assert card["data"]["splits"]["train"] == {"speakers": 1, "parts": 1, "seconds": 5.1}
    assert {"vertex_error_mm", "held_still_vertex_error_mm"} <= card["figures"].keys()
    silent = predict(network, np.full_like(windows, -20))
    assert np.abs(silent - predict(network, windows)).mean() > 0.1


@pytest.mark.slow
def test_a_speech_of_ten_seconds_is_learned_by_heart(store: Store, tmp_path: Path) -> None:
    _, network, windows, delta = overfitted(store, tmp_path, ticks=250, steps=500, frames=16)
    assert left(network, windows, delta) < 0.05
