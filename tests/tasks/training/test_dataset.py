"""The loader: what a sample holds, each block read once, and going on exactly where it stopped."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.sampling.windows import WindowOrder, block_edges
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from tasks.engine.open_run import open_run
from tasks.source.face_crops import FACE_CROPS
from tasks.source.landmarks import LANDMARKS
from tasks.source.pictures import PIXEL_SHARD
from tasks.source.timeline import timeline
from tasks.speech.mel import MEL
from tasks.training.dataset import BlockDataset, WindowLoader, WindowSettings
from tests.media_factory import make_video, variable_times

SIDE = 96
LENGTHS = (90, 40, 64, 30)
SMALL = WindowSettings(face_px=32, points=(0, 13, 14), references=3, block_frames=64)


def put(store: Store, schema: Schema, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        sizes |= dict(zip(schema.arrays[name].dims, array.shape, strict=True))
    builder = store.builder(Derivation(schema, key, 1, {}, {}), sizes)
    builder.prepare()
    frames, step = len(next(iter(arrays.values()))), max(s.shard for s in schema.arrays.values())
    for shard, start in enumerate(range(0, frames, step)):
        part = {name: array[start : start + step] for name, array in arrays.items()}
        builder.write(shard, part, seconds=0.0)
    builder.commit({}, seconds=0.0)


def put_clip(store: Store, number: int, frames: int) -> None:
    """Landmarks and pictures that tell the frame, columns of mel that tell their number."""
    key = f"{number:032x}"
    count = np.arange(frames, dtype=np.float32)
    points = np.zeros((frames, 478, 3), np.float32)
    points[:, :, 0] = count[:, None] + 0.5
    transform = np.zeros((frames, 2, 3), np.float32)
    transform[:, 0, 0] = transform[:, 1, 1] = 1
    rows = np.zeros(frames)
    put(
        store,
        LANDMARKS,
        key,
        {
            "landmarks": points,
            "valid": rows > -1,
            "scale": rows.astype(np.float32),
            "rotation": np.zeros((frames, 3, 3), np.float32),
            "translation": np.zeros((frames, 3), np.float32),
            "mouth": np.zeros((frames, 57, 3), np.float32),
        },
    )
    face = np.zeros((frames, SIDE, SIDE, 3), np.uint8)
    # Grey halves, which JPEG keeps as they are.
    face[:, : SIDE // 2] = (np.arange(frames) % 200)[:, None, None, None]
    face[:, SIDE // 2 :] = number
    put(
        store,
        FACE_CROPS,
        key,
        {
            "face": face,
            "look": np.zeros((frames, 32, 32, 3), np.uint8),
            "transform": transform,
            "valid": rows > -1,
        },
    )
    columns = np.arange(frames * 16 // 5, dtype=np.float32)
    put(store, MEL, key, {"mel": np.repeat(columns[:, None], 80, 1)})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[ClipPart]]:
    """A store with clips of known content, 25 frames a second, and rows for all of them."""
    return prepare(tmp_path_factory.mktemp("prepared"), LENGTHS)


def prepare(folder: Path, lengths: Sequence[int]) -> tuple[str, list[ClipPart]]:
    store = Store(folder / "store")
    segments = []
    with open_run(store):
        for number, frames in enumerate(lengths):
            video = make_video(folder / f"{number}.mp4", frames=frames, size=(16, 16))
            clock = timeline(Source.of(video))
            put_clip(store, number, frames)
            keys = dict.fromkeys(("landmarks", "face_crops", "mel"), f"{number:032x}")
            segments.append(row(number, 0, frames, frames / 25, keys | {"timeline": clock.key}))
    return store.url, segments


def row(
    number: int, start: int, stop: int, seconds: float, keys: dict[str, str], **lag: float
) -> ClipPart:
    given: dict[str, Any] = {"lag_seconds": 0.0, "lag_confidence": 0.0} | lag
    given |= {"path": Path(f"{number}.mp4"), "digest": "", "keys": keys}
    return ClipPart(number, f"p{number}", "train", start, stop, seconds, **given)


def loader(prepared: tuple[str, list[ClipPart]], **changes: Any) -> WindowLoader:
    given = {"batch_size": 4, "mixed_blocks": 2, "seed": 5} | changes
    blocks = BlockDataset(prepared[1], prepared[0], given.pop("settings", SMALL))
    return WindowLoader(blocks, **given)


def shown(batches: Iterator[dict[str, torch.Tensor]] | WindowLoader) -> list[list[tuple[int, int]]]:
    """Of each batch: (row, first frame) of each sample."""
    return [
        list(zip(b["row"].tolist(), b["face"][:, 0, 0, 0, 0].tolist(), strict=True))
        for b in batches
    ]


def test_a_sample_is_sound_landmarks_and_faces_of_the_same_moment(
    prepared: tuple[str, list[ClipPart]],
) -> None:
    for batch in loader(prepared):
        size = len(batch["row"])
        assert batch["mel"].shape == (size, 5, 1, 80, 16)
        assert batch["landmarks"].shape == (size, 5, 3, 3)
        assert batch["mouth"].shape == (size, 5, 57, 3)
        assert batch["face"].shape == (size, 5, 3, 32, 32)
        assert batch["face"].dtype == torch.uint8
        assert batch["reference_face"].shape == (size, 3, 3, 32, 32)
        frame = batch["face"][:, :, 0, 0, 0].long()
        assert torch.equal(frame, frame[:, :1] + torch.arange(5))
        assert torch.equal(batch["face"][:, 0, 2, -1, 0].long(), batch["row"])
        assert torch.allclose(batch["landmarks"][..., 0, 0] * SIDE, frame + 0.5, atol=1e-3)
        columns = frame * 16 // 5
        last = torch.tensor([LENGTHS[r] * 16 // 5 for r in batch["row"]])
        inside = columns + 15 < last[:, None]
        assert inside.any()
        assert torch.equal(batch["mel"][:, :, 0, 0, 0][inside].long(), columns[inside])
        assert torch.equal(batch["mel"][:, :, 0, 0, 15][inside].long(), columns[inside] + 15)
        late = columns + 15 >= last[:, None]
        assert (batch["mel"][:, :, 0, 7, 15][late] == -4).all()
        others = batch["reference_face"][:, :, 0, 0, 0].long()
        assert not (others[:, :, None] == frame[:, None]).any()
        assert torch.allclose(batch["reference_landmarks"][..., 0, 0] * SIDE, others + 0.5)


def test_an_epoch_shows_each_window_once_and_the_next_another_order(
    prepared: tuple[str, list[ClipPart]],
) -> None:
    settings = SMALL.model_copy(update={"stride": 1})
    stream = loader(prepared, settings=settings, batch_size=3)
    assert len(stream) == (90 + 40 + 64 + 30 - 4 * 4) // 3
    first, second = shown(stream), shown(stream)
    windows = [sample for batch in first for sample in batch]
    assert len(windows) == len(set(windows)) == 3 * len(first)
    assert windows != sorted(windows)
    assert first != second
    again = loader(prepared, settings=settings, batch_size=3)
    assert [shown(again), shown(again)] == [first, second]
    assert shown(loader(prepared, settings=settings, batch_size=3, seed=6)) != first


@pytest.mark.parametrize("stop", [0, 1, 5, 10])
def test_it_goes_on_with_the_very_next_sample(
    prepared: tuple[str, list[ClipPart]], stop: int
) -> None:
    straight = loader(prepared)
    wanted = [*straight, *straight]
    broken = loader(prepared)
    batches = iter(broken)
    for _ in range(stop):
        next(batches)
    state = broken.state_dict()
    taken_up = loader(prepared)
    taken_up.load_state_dict(state)
    rest = [*taken_up]
    if len(rest) + stop < len(wanted):
        rest += [*taken_up]
    assert len(rest) == len(wanted) - stop
    for mine, theirs in zip(rest, wanted[stop:], strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_position_of_other_data_is_refused(prepared: tuple[str, list[ClipPart]]) -> None:
    state = loader(prepared).state_dict()
    with pytest.raises(ValueError, match="seed"):
        loader(prepared, seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="data"):
        loader((prepared[0], prepared[1][1:])).load_state_dict(state)


@pytest.mark.dub
def test_workers_change_nothing(prepared: tuple[str, list[ClipPart]]) -> None:
    alone = loader(prepared)
    wanted = [shown(alone), shown(alone)]
    several = loader(prepared, workers=2)
    assert [shown(several), shown(several)] == wanted


def test_each_block_is_read_once(
    prepared: tuple[str, list[ClipPart]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = BlockDataset.__getitem__
    monkeypatch.setattr(
        BlockDataset, "__getitem__", lambda self, n: (read.append(n), real(self, n))[1]
    )
    stream = loader(prepared)
    list(stream)
    assert sorted(read) == list(range(4))
    read.clear()
    stream.load_state_dict(stream.state_dict() | {"epoch": 0, "batch": len(stream) - 1})
    list(stream)
    assert len(read) <= 2  # what is already behind is not read again


def test_validation_is_in_order_and_whole(prepared: tuple[str, list[ClipPart]]) -> None:
    batches = shown(loader(prepared, shuffle=False, batch_size=16))
    windows = [sample for batch in batches for sample in batch]
    assert windows == sorted(windows)
    assert len(windows) == sum((frames - 5) // 5 + 1 for frames in LENGTHS)


def test_ranks_share_the_blocks_and_have_equally_many_batches(
    prepared: tuple[str, list[ClipPart]],
) -> None:
    shares = [shown(loader(prepared, batch_size=2, rank=rank, world=2)) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) > 0
    rows = [{row for batch in share for row, _ in batch} for share in shares]
    assert not rows[0] & rows[1]


def test_a_sure_lag_is_taken_out(prepared: tuple[str, list[ClipPart]]) -> None:
    url, segments = prepared
    keys = dict(segments[0].keys)
    settings = SMALL.model_copy(update={"references": 0, "mel_columns": 1})
    sure = row(0, 0, 90, 3.6, keys, lag_seconds=0.1, lag_confidence=0.95)
    doubtful = row(0, 0, 90, 3.6, keys, lag_seconds=0.1, lag_confidence=0.5)
    for segment, shift in ((sure, 8), (doubtful, 0)):
        block = BlockDataset([segment], url, settings)[0]
        heard = block["mel"][block["mel_first"], 0]
        frame = block["face"][:, 0, 0, 0].long()
        expected = (frame * 16 // 5 - shift).clamp(min=-4)
        assert torch.equal(heard[10:].long(), expected[10:])
        assert (heard[:2] == (-4 if shift else heard[:2])).all()


def test_other_frame_rates_come_at_the_models_clock(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    times = variable_times(90)
    segments = []
    with open_run(store):
        clocks: list[dict[str, Any]] = [
            {"rate": 50},
            {"pts": times, "time_base": Fraction(1, 1000)},
        ]
        for number, given in enumerate(clocks):
            video = make_video(tmp_path / f"{number}.mp4", frames=90, size=(16, 16), **given)
            clock = timeline(Source.of(video))
            put_clip(store, number, 90)
            keys = dict.fromkeys(("landmarks", "face_crops", "mel"), f"{number:032x}")
            seconds = 1.8 if number == 0 else (times[-1] + 33) / 1000
            segments.append(row(number, 0, 90, seconds, keys | {"timeline": clock.key}))
    fast, variable = (BlockDataset([segment], store.url, SMALL)[0] for segment in segments)
    assert fast["face"][:, 0, 0, 0].tolist() == list(range(0, 90, 2))
    frames = variable["face"][:, 0, 0, 0].long()
    assert len(frames) == int(segments[1].seconds * 25)
    heard = variable["mel_first"] - variable["mel_first"][0]
    shown_at = torch.tensor(times)[frames] / 1000
    assert (shown_at - heard / 80).abs().max() < 0.045


def test_blocks_end_where_shards_of_pictures_do() -> None:
    assert block_edges(0, 600, block=256, least=64) == [(0, 256), (256, 512), (512, 600)]
    assert block_edges(0, 570, block=256, least=64) == [(0, 256), (256, 570)]
    assert block_edges(10, 40, block=256, least=64) == [(10, 40)]
    assert block_edges(250, 800, block=256, least=64) == [(250, 512), (512, 800)]
    for start, stop in [(0, 64), (3, 1000), (200, 513), (255, 257)]:
        edges = block_edges(start, stop, block=128, least=64)
        assert edges[0][0] == start
        assert edges[-1][1] == stop
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert all(a[1] % 64 == 0 for a in edges[:-1])


def test_references_lie_outside_their_window() -> None:
    order = WindowOrder(np.array([30, 5]), np.array([0, 1]), 5, 5, 2, 0, True)
    epoch = order.epoch(0)
    for start in range(26):
        others = order.others(epoch, 0, start, 15)
        assert len(set(others.tolist())) == 15
        assert not ((others >= start) & (others < start + 5)).any()
        assert others.max() < 30
    assert len(order.others(epoch, 1, 0, 15)) == 15


def test_references_of_several_frames_follow_one_another(
    prepared: tuple[str, list[ClipPart]],
) -> None:
    order = WindowOrder(np.array([30, 10]), np.array([0, 1]), 5, 5, 2, 0, True)
    epoch = order.epoch(0)
    for start in range(26):
        (first,) = order.others(epoch, 0, start, 1, length=5)
        assert first + 5 <= start or first >= start + 5
        assert 0 <= first <= 25
    assert order.others(epoch, 1, 3, 1, length=5)[0] != 3  # there is no room beside it
    runs = SMALL.model_copy(update={"references": 2, "reference_frames": 3})
    for batch in loader(prepared, settings=runs):
        shown = batch["reference_face"][:, :, 0, 0, 0].long().reshape(-1, 2, 3)
        assert (shown.diff(dim=2) == 1).all()


LONG = (300, 40)
"""Frames of clips of five blocks and of one."""


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[ClipPart]]:
    return prepare(tmp_path_factory.mktemp("long"), LONG)


def test_references_are_from_the_whole_clip(long_clip: tuple[str, list[ClipPart]]) -> None:
    runs = SMALL.model_copy(update={"references": 2, "reference_frames": 3})
    stream, distances = loader(long_clip, settings=runs, batch_size=3), list[int]()
    for _ in range(3):
        for batch in stream:
            first = (batch["landmarks"][:, 0, 0, 0] * SIDE - 0.5).round().long()[:, None, None]
            shown = (batch["reference_landmarks"][..., 0, 0] * SIDE - 0.5).round().long()
            shown = shown.reshape(-1, 2, 3)
            assert (shown.diff(dim=2) == 1).all()
            assert not ((shown >= first) & (shown < first + 5)).any()
            pictures = batch["reference_face"][:, :, 0, :, 0].long()
            assert torch.equal(pictures[:, :, 0].reshape(shown.shape), shown % 200)
            assert (pictures[:, :, -1] == batch["row"][:, None]).all()
            lengths = torch.tensor(LONG)[batch["row"]]
            assert (shown.amax((1, 2)) < lengths).all()
            distances += (shown[..., 0] - first[..., 0])[batch["row"] == 0].ravel().tolist()
    # Two moments of 300 frames, at random, are 100 frames apart in the mean, and of one block 21.
    assert 80 < np.abs(distances).mean() < 120
    assert min(distances) < -200 and max(distances) > 200


def test_references_of_a_whole_clip_are_taken_up_too(
    long_clip: tuple[str, list[ClipPart]], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = [*(whole := loader(long_clip)), *whole]
    broken = loader(long_clip)
    for _ in zip(range(7), broken, strict=False):
        pass
    taken_up, stretches = loader(long_clip), list[Any]()
    taken_up.load_state_dict(broken.state_dict())
    real = BlockDataset.shown
    monkeypatch.setattr(
        BlockDataset, "shown", lambda self, s: (stretches.append(s), real(self, s))[1]
    )
    for mine, theirs in zip([*taken_up, *taken_up], straight[7:], strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    ticks = [stop - start for _, start, stop in stretches]
    assert max(ticks) <= SMALL.block_frames + PIXEL_SHARD
    assert sum(ticks) < 2.5 * 2 * sum(LONG), "no clip is read for each of its windows"


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_leaves_torchs_own_chance_alone(
    prepared: tuple[str, list[ClipPart]], workers: int
) -> None:
    before = torch.get_rng_state()
    list(loader(prepared, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sample_can_hold_the_middle_face_alone(prepared: tuple[str, list[ClipPart]]) -> None:
    middle = SMALL.model_copy(update={"faces": "middle"})
    pairs = zip(loader(prepared), loader(prepared, settings=middle), strict=True)
    for whole, batch in pairs:
        assert batch["face"].shape == (4, 1, 3, 32, 32)
        assert torch.equal(batch["face"], whole["face"][:, 2:3])
        assert torch.equal(batch["reference_face"], whole["reference_face"])
