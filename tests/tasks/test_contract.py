"""The contract that every stage keeps: its key, its arguments, its schema, its shards."""

import inspect
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.dub import dub
from flows.names import stage_kinds
from flows.settings import read_settings
from models.face_fit.settings import FitSettings
from models.meta_talk.settings import FaceSettings
from models.restore.settings import RestoreSettings
from models.stylegan2_face.settings import SquareSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from tasks.engine.arguments import decode, derivation, encode
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.engine.perform import load_stage
from tasks.engine.run import Run
from tasks.engine.stage import Shard, Stage
from tasks.inference import shared
from tasks.inference.runner import Runner
from tasks.methods.ganimation_faces import ganimation_faces
from tasks.methods.meta_talk_faces import meta_talk_faces
from tasks.methods.polish_pairs import polish_pairs
from tasks.methods.pseudo_expression import pseudo_expression, pseudo_faces
from tasks.methods.restored_crops import restored_crops
from tasks.methods.vrt_coefficients import vrt_fitted_coefficients
from tasks.metrics.mouth_pictures import mouth_pictures
from tasks.result import restored
from tasks.source import landmarks68, regressed
from tasks.source.face_crops import FaceCropSettings, face_crops
from tasks.source.face_squares import face_squares
from tasks.speech.atnet_features import atnet_features
from tasks.speech.speech_features import speech_features
from tasks.speech.speech_windows import speech_windows
from tasks.speech.waveform import waveform
from tasks.weights.networks import find_weights
from tests.flows.conftest import cut_wav
from tests.flows.methods.test_ip_lap import LANDMARKS, RENDERER, write_trained
from tests.flows.methods.test_meta_talk import write_run
from tests.flows.methods.test_stylegan2 import write_face
from tests.flows.methods.test_video_retalking import NAMES as RETALKING
from tests.flows.methods.test_video_retalking import add_small
from tests.media_factory import EXAMPLE, make_video
from tests.published_weights import add_filled, write_registry
from tests.tasks.drawn_face import drawn
from tests.tasks.every_stage import every_stage, made_up_arguments, positional, recorded_calls
from tests.tasks.source.test_face_fit_modes import Brightness, Shifted

STAGES = every_stage()
RANGED = sorted(address for address, each in STAGES.items() if each.ranged)
JUDGED = [address for address in RANGED if "precision" in STAGES[address].signature.parameters]
FRAMES = 20
_CROPS, _COMPOSITE = "tasks.source.crops:crops", "tasks.result.composite:composite"
_COEFFICIENTS = "tasks.methods.vrt_coefficients:vrt_coefficients"
_BORROWED = "tasks.methods.exemplar:exemplar_render"
_DRAWN = "tasks.methods.meta_talk_render:meta_talk_render"
_GRAIN = {"speech_features": 100}
"""Rows that a shard is a multiple of, where it may not begin anywhere."""
_GROUPS = ("tasks.methods.", "tasks.metrics.")
"""Rooms whose modules hold the stages of one method or of one family of metrics."""


@pytest.mark.parametrize("address", sorted(STAGES))
def test_a_stage_is_found_where_its_name_says(address: str) -> None:
    module, _, name = address.partition(":")
    assert load_stage(address) is STAGES[address]
    assert name == module.rpartition(".")[2] or module.startswith(_GROUPS)


def test_a_module_holds_three_stages_at_most() -> None:
    assert max(Counter(address.partition(":")[0] for address in STAGES).values()) <= 3


def test_kinds_are_found_by_stage_and_by_kind() -> None:
    kinds = stage_kinds()
    assert (kinds["restored"], kinds["render"], kinds["timeline"]) == (*2 * ("render",), "timeline")
    assert set(kinds.values()) == {each.schema.kind for each in STAGES.values()}


@pytest.mark.parametrize("address", sorted(STAGES))
def test_signature_and_schema_agree(address: str) -> None:
    each = STAGES[address]
    parameters = inspect.signature(each.body).parameters
    assert len(positional(each)) <= 2, "all but two arguments are given by name"
    assert ("shards" in parameters) == each.ranged
    if each._plan is not None:
        assert set(inspect.signature(each._plan).parameters) <= set(each.signature.parameters)
    if each._rows is not None:
        assert each._rows in each.signature.parameters
    if each.ranged:
        specs = each.schema.arrays.values()
        assert len({(spec.dims[0], spec.shard) for spec in specs if not spec.ragged}) == 1
    for name, spec in each.schema.arrays.items():
        assert spec.doc or spec.units or name == each.schema.kind, f"{name} says nothing of itself"


@pytest.mark.parametrize("address", sorted(STAGES))
def test_key_is_canonical_and_arguments_survive_the_way(
    address: str, run: Run, tmp_path: Path
) -> None:
    each = STAGES[address]
    (tmp_path / "source").write_bytes(b"video")
    given = made_up_arguments(each, tmp_path / "source")
    sent = json.loads(json.dumps({name: encode(value) for name, value in given.items()}))
    arrived = {n: decode(v, run.store, each._hints.get(n)) for n, v in sent.items()}
    here = derivation(each.schema, each.version, given)
    there = derivation(each.schema, each.version, dict(reversed(arrived.items())))
    assert here.key == there.key, "whatever process asks, and in whatever order"
    assert here.inputs == there.inputs
    for name, value in given.items():
        if isinstance(value, tuple):
            for at, one in zip((name, f"{name}.1"), value, strict=True):
                assert not isinstance(one, Artifact | Source) or here.inputs[at][1] == one.key
        elif isinstance(value, Artifact | Source):
            assert here.inputs[name][1] == value.key
        else:
            assert type(arrived[name]) is type(value)
            assert arrived[name] == value
    assert each.version != derivation(each.schema, each.version + 1, given).stage_version
    assert here.key != derivation(each.schema, each.version + 1, given).key


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Arguments of every ranged stage in real dubs, by all methods and with restoration."""
    folder = tmp_path_factory.mktemp("contract")
    store, speech = Store(folder / "store"), EXAMPLE.with_name("jfk.wav")
    networks = ("wav2lip_gan", "audiodvp_atnet")
    registry = write_registry(folder / "own.yaml", *networks, *RETALKING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUBFLOW_WEIGHTS", str(registry))
        for name in networks:
            add_filled(store, name, folder)
        add_small(store, folder, patch)
        trained = {
            "landmarks": str(write_trained(LANDMARKS, {}, folder)),
            "renderer": str(write_trained(RENDERER, {}, folder)),
        }
        given = {
            "video": make_video(
                folder / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True
            ),
            "audio": cut_wav(speech, folder, 0.3, 1.2),
            "output": folder / "out.mp4",
            "store": store.url,
        }
        options: list[dict[str, Any]] = [
            {"method": "wav2lip", "sync": {"end_seconds": 0.36}},
            {
                "method": "ip_lap",
                "method_settings": {**trained, "references": 2, "detail": "exemplar"},
                "sync": {"end_seconds": 0.24},
            },
            {
                "method": "meta_talk",
                "method_settings": {
                    "run": str(write_run(folder, {"input": "render_and_exemplar"}))
                },
                "sync": {"end_seconds": 0.24},
            },
            {
                "method": "video_retalking",
                "method_settings": {"upper_face": "sad"},
                "sync": {"end_seconds": 0.12},
            },
            {
                "method": "stylegan2",
                "method_settings": {"weights": str(write_face(folder))},
                "sync": {"end_seconds": 0.24},
            },
            {"audio": None, "cues": {"sheet": thirds_sheet(given["audio"]), "fade_seconds": 0}},
            {"method": "exemplar", "method_settings": {"render": {"polish": True}}},
        ]
        with recorded_calls() as recorded:
            for changes in options:
                dub(read_settings(None, [], given | changes))
            seen = {n: recorded[_CROPS][n] for n in ("video", "timeline", "landmarks")}
            with open_run(store):
                polished = {n: v for n, v in recorded[_BORROWED].items() if n != "model"}
                polish_pairs(**polished)
                mouth_pictures(**seen)
                whole = face_crops(**seen, settings=FaceCropSettings())
                sharp = {"weights": find_weights("gpen_bfr_512"), "enhancer": "gpen"}
                parser = find_weights("parsenet")
                restored_crops(whole, seen["landmarks"], parser=parser, **sharp)
                ganimation_faces(**seen, side=32)
                face_squares(**seen, settings=SquareSettings(align="davs", side=128))
                film = drawn(folder / "film.mp4", frames=FRAMES)
                meta_talk_faces(
                    *film[:2], person=film.person, fit=film.fit, settings=FaceSettings()
                )
                fit = {n: recorded[_DRAWN][n] for n in ("person", "fit")}
                cut = recorded[_COEFFICIENTS]["cut"]
                vrt_fitted_coefficients(cut, fit["fit"], person=fit["person"])
                dubbed = {n: recorded[_COMPOSITE][n] for n in ("render", "output_frames")}
                small = pseudo_faces(**seen, face_px=96)
                pseudo_expression(**fit, faces=small, **dubbed)
                patch.setattr(landmarks68, "network_runner", lambda *given: told_by(Brightness()))
                patch.setattr(regressed, "network_runner", lambda *given: told_by(Shifted()))
                of = {"landmarks68": landmarks68.landmarks68(**seen, weights=seen["landmarks"])}
                quick = FitSettings(person_frames=4, person_iterations=2, iterations=2)
                regressed.regressed(**seen, **of, network=seen["landmarks"], settings=quick)
                heard = waveform(Source.of(cut_wav(speech, folder, 0.0, 5.0)))
                speech_features(heard)
                speech_windows(heard, features="logmel80")
                atnet_features(heard, weights=find_weights("audiodvp_atnet"))
        recorded["tasks.result.restored:restored"] = seen | {
            "output_frames": recorded[_COMPOSITE]["output_frames"],
            "render": recorded[_COMPOSITE]["render"],
            "blend": recorded[_COMPOSITE]["blend"],
            "weights": recorded[_COMPOSITE]["render"],  # is not read: see `inverted`
            "settings": RestoreSettings(),
            "precision": "float32",
        }
        patch.setattr(restored, "_runner", inverted)
        yield recorded


def thirds_sheet(speech: Path) -> Path:
    """A cue of the second third of FRAMES, in which shards are cut too."""
    sheet = speech.with_name("thirds.csv")
    third = -(-FRAMES // 3) / 25
    sheet.write_text(f"start,end,speech\n{third},{2 * third},{speech.name}\n")
    return sheet


def inverted(*given: object) -> Runner:
    """A network that restores nothing, in place of one that takes seconds a frame."""

    class Inverted(torch.nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return 255 - faces

    return told_by(Inverted())


def told_by(network: torch.nn.Module) -> Runner:
    """Likewise, of any network."""
    return Runner(network, DeviceSettings(device="cpu"))


@pytest.mark.dub
@pytest.mark.parametrize("address", RANGED)
def test_shards_in_any_order_are_the_whole(address: str, calls: dict[str, dict[str, Any]]) -> None:
    each, arguments = STAGES[address], calls[address]
    plan, rows = each._planned(arguments)
    third = -(-rows // 3 // _GRAIN.get(each.schema.kind, 1)) * _GRAIN.get(each.schema.kind, 1)
    starts = range(0, rows, third)
    shards = [Shard(index, at, min(at + third, rows)) for index, at in enumerate(starts)]
    whole = list(each.body(**arguments, shards=shards))
    assert len(whole) == len(shards)
    for shard, arrays in zip(shards, whole, strict=True):
        for name, array in arrays.items():
            if not each.schema.arrays[name].ragged:
                each.schema.check(name, array, each._sizes(plan, rows))
                assert len(array) == shard.stop - shard.start
    for index in random.Random(address).sample(range(len(shards)), len(shards)):
        (alone,) = each.body(**arguments, shards=[shards[index]])
        assert alone.keys() == each.schema.arrays.keys()
        for name, array in alone.items():
            np.testing.assert_array_equal(array, whole[index][name], err_msg=f"{name}, {index}")


@pytest.mark.dub
@pytest.mark.parametrize("address", JUDGED)
def test_precision_is_judged_by_what_the_network_is_given(
    address: str, calls: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):
        """What a network is given, which is all that was wanted."""

    class Listener:
        def map(self, blocks: Iterator[Any]) -> Iterator[Any]:
            raise Seen([np.concatenate(part) for part in zip(*blocks, strict=True)])

    def listen(*given: Any, usable: Any, block: Any, **named: Any) -> Listener:
        judged.append((usable, block))
        return Listener()

    judged: list[tuple[Any, Any]] = []
    monkeypatch.setattr(shared, "network_runner", listen)
    monkeypatch.setattr(
        restored, "_runner", lambda *given: listen(usable=given[-2], block=given[-1])
    )
    each, arguments = STAGES[address], calls[address]
    _, rows = each._planned(arguments)
    halves = [Shard(0, 0, rows // 2), Shard(1, rows // 2, rows)]
    with pytest.raises(Seen) as seen:
        list(each.body(**arguments, shards=halves))
    ((usable, block),) = judged
    assert usable.shape == (rows,) and usable.any()
    given = seen.value.args[0]
    all_rows = np.arange(rows) if len(given[0]) == rows else np.flatnonzero(usable)
    for row in (all_rows, all_rows[::3]):
        for found, wanted in zip(block(row), given, strict=True):
            np.testing.assert_array_equal(found, wanted[np.isin(all_rows, row)])


@pytest.mark.dub
def test_every_ranged_stage_was_called(calls: dict[str, dict[str, Any]]) -> None:
    assert set(RANGED) <= set(calls)


def test_stages_refuse_what_does_not_fit(run: Run) -> None:
    each: Stage = STAGES["tasks.source.timeline:timeline"]
    with pytest.raises(TypeError):
        each.key("one", "too many")
