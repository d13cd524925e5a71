"""Marks of origin of a dub: what is said, what is refused before the work, what `verify` finds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import ValidationError

from flows import origin
from flows.batch import batch
from flows.batches.settings import BatchSettings
from flows.dub import dub
from flows.dub_inputs import check_inputs, input_faults
from flows.origin_settings import OriginSettings
from flows.settings import DubSettings
from flows.verify import verify
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.media.audio import decode_audio
from stores.media.scanning import scan
from stores.runs import find_run
from tests.command import invoke
from tests.flows.conftest import computed
from tests.media_factory import content
from tests.published_weights import add_filled, write_registry
from tests.stores.provenance.test_consent import HOLDS
from tests.stores.provenance.test_keys import pair
from tests.stores.provenance.test_manifest import edit_lists, kinds

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]


def test_a_dub_says_that_it_is_one(settings: Make, tmp_path: Path) -> None:
    consent = tmp_path / "consent.json"
    consent.write_text(json.dumps(HOLDS))
    given = settings(origin={"consent": consent})
    report = dub(given)
    said = report.origin
    assert (said.manifest, said.self_signed) == (given.output, True)
    record = find_run(Store(given.store), report.run)
    assert record.mark == said.mark is not None
    (found,) = verify(given.output, given.store)
    assert found.verdict == "whole" and found.manifest is not None
    assert found.manifest.chain == [given.video.name, given.audio.name]
    assert found.run == report.run
    assert found.picture is not None and found.picture.number == said.mark
    told = found.manifest.dub or {}
    assert told["mark"] == said.mark and told["run"] == report.run
    assert told["consent_sha256"] == said.consent is not None
    assert {"composite", "dubbed"} <= {each["stage"] for each in told["stages"]}  # type: ignore[attr-defined]
    assert str(tmp_path) not in json.dumps(told), "folders are nobody's business"
    ended = invoke("verify", given.output, "--store", given.store, "--json")
    assert ended.exit_code == 0 and json.loads(ended.stdout)["verdict"] == "whole"


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_signing_changes_nothing_that_is_played(
    settings: Make, tmp_path: Path, suffix: str
) -> None:
    given = settings(output=tmp_path / f"out{suffix}")
    report = dub(given)
    key = next(stage.key for stage in report.stages if stage.name == "dubbed")
    plain = Store(given.store).get("dubbed", key).file(f"dubbed{suffix}")
    assert content(given.output) == content(plain)
    assert edit_lists(given.output) == edit_lists(plain) != []
    order = kinds(given.output)
    assert order.index("moov") < order.index("mdat") and order[-1] == "free"
    before, after = scan(plain), scan(given.output)
    np.testing.assert_array_equal(after.pts, before.pts)
    assert (after.end_pts, after.time_base) == (before.end_pts, before.time_base)
    np.testing.assert_array_equal(decode_audio(given.output), decode_audio(plain))


def test_what_was_wrapped_anew_is_marked_but_changed(settings: Make, tmp_path: Path) -> None:
    given = settings()
    dub(given)
    other = tmp_path / "folder" / "other.mkv"
    other.parent.mkdir()
    with av.open(str(given.output)) as old, av.open(str(other), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    ended = invoke("verify", other.parent, "--store", given.store)
    assert ended.exit_code == 1
    assert "not as it was signed" in ended.stdout and "made by run" in ended.stdout


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_no_mark_must_be_said_and_is_told(settings: Make, tmp_path: Path, suffix: str) -> None:
    given = settings(output=tmp_path / f"out{suffix}")
    dub(given)
    without = given.model_copy(update={"origin": given.origin.model_copy(update={"mark": False})})
    report = dub(without)
    assert report.origin.mark is None
    assert "the result bears no mark of origin (--no-mark)" in report.notes
    assert find_run(Store(given.store), report.run).mark is None
    assert list(tmp_path.iterdir()) == [given.output], "no manifest of an earlier one is left"
    ended = invoke("verify", given.output, "--store", given.store)
    assert ended.exit_code == 2 and "no mark of origin" in ended.stdout


@pytest.mark.parametrize("mark", [True, False])
def test_a_file_of_the_users_is_not_taken_for_a_manifest(
    settings: Make, tmp_path: Path, mark: bool
) -> None:
    given = settings(output=tmp_path / "out.mkv")
    given = given.model_copy(update={"origin": given.origin.model_copy(update={"mark": mark})})
    own = tmp_path / "out.c2pa"
    own.write_text("mine")
    with pytest.raises(InputError, match=r"out\.c2pa is there and is no manifest"):
        dub(given)
    assert own.read_text() == "mine" and list(tmp_path.iterdir()) == [own]


def test_a_label_has_letters_that_its_font_has() -> None:
    assert OriginSettings(label="made by AI (studio)").shown_label
    with pytest.raises(ValidationError, match="has letters of ASCII alone, not 'ü'"):
        OriginSettings(label="Müller")


def test_what_cannot_be_looked_at_has_a_code_of_its_own(tmp_path: Path) -> None:
    ended = invoke("verify", tmp_path / "none.mp4")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == f"dubflow: {tmp_path / 'none.mp4'}: no such file; check the path\n"
    (tmp_path / "text.mp4").write_text("no media at all")
    assert invoke("verify", tmp_path / "text.mp4").exit_code == 2


def test_signing_that_fails_loses_nothing(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(blend={"strength": 0.9})
    for error in (SettingsError("no signature"), KeyboardInterrupt()):
        with monkeypatch.context() as patch:

            def fail(*paths: Path, error: BaseException = error, **rest: Any) -> None:
                paths[1].write_bytes(b"half a file")
                raise error

            patch.setattr(origin, "sign", fail)
            with pytest.raises(type(error)):
                dub(given)
        assert list(tmp_path.iterdir()) == []
    assert computed(dub(given)) == set(), "all stages were kept"


def test_what_is_missing_is_told_before_the_work(settings: Make, tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, days=(-9, -1))
    consent = tmp_path / "consent.json"
    consent.write_text("{}")
    for given, words in (
        ({"sign": [certificate, key]}, "expired on"),
        ({"sign": [certificate, tmp_path / "none.pem"]}, "none.pem can't be read"),
        ({"consent": consent}, "person: Field required"),
        ({"consent": tmp_path / "none.json"}, "none.json"),
        ({"require_consent": True}, "needs a consent"),
    ):
        wrong = settings(origin=given)
        with pytest.raises(InputError, match=words) as caught:
            check_inputs(wrong)
        assert "\n" not in str(caught.value)
        assert input_faults(wrong)


def test_a_key_of_the_environment_is_taken(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = pair(tmp_path, days=(-9, -1))
    monkeypatch.setenv("DUBFLOW_SIGN_CERT", str(certificate))
    with pytest.raises(SettingsError, match="belong together"):
        check_inputs(settings())
    monkeypatch.setenv("DUBFLOW_SIGN_KEY", str(key))
    with pytest.raises(SettingsError, match="expired on"):
        check_inputs(settings())


def test_non_commercial_weights_ask_for_a_word(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DUBFLOW_NON_COMMERCIAL")
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", "wav2lip_gan")))
    store = Store(tmp_path / "store")
    add_filled(store, "wav2lip_gan", tmp_path)
    given = {"method": "wav2lip", "store": store.url}
    with pytest.raises(SettingsError, match=r"forbid commercial use: wav2lip_gan .*--non-commerc"):
        check_inputs(settings(**given))
    check_inputs(settings(**given, origin={"non_commercial": True}))
    monkeypatch.setenv("DUBFLOW_NON_COMMERCIAL", "1")
    check_inputs(settings(**given))


def test_a_label_is_seen_as_long_as_asked(settings: Make, tmp_path: Path) -> None:
    plain = settings(encode={"crf": 0})
    dub(plain)
    label = {"label": "Dubbed", "label_seconds": 1.0}
    shown = settings(encode={"crf": 0}, origin=label, output=tmp_path / "shown.mp4")
    dub(shown)
    with av.open(str(plain.output)) as one, av.open(str(shown.output)) as other:
        pairs = zip(one.decode(video=0), other.decode(video=0), strict=True)
        differ = np.stack(
            [a.to_ndarray(format="gray") != b.to_ndarray(format="gray") for a, b in pairs]
        )
    assert differ[:25].any(axis=(1, 2)).all() and not differ[25:].any()
    rows, columns = (np.flatnonzero(differ.any(axis=(0, axis))) for axis in (2, 1))
    assert rows[0] > 260 and columns[0] > 300, "in the lower right corner"


def test_rows_of_a_batch_carry_their_consents(settings: Make, tmp_path: Path) -> None:
    given = settings()
    (tmp_path / "jane.json").write_text(json.dumps(HOLDS))
    manifest = tmp_path / "rows.csv"
    manifest.write_text(
        "video,audio,output,origin.consent\n"
        f"{given.video},{given.audio},one.mp4,jane.json\n"
        f"{given.video},{given.audio},two.mp4,\n"
    )
    done = batch(
        BatchSettings(
            manifest=manifest, store=given.store, defaults={"origin": {"require_consent": True}}
        )
    )
    assert [row.state.value for row in done.rows] == ["done", "failed"]
    assert "needs a consent" in done.rows[1].reason


def test_the_same_dub_has_the_same_content(settings: Make, tmp_path: Path) -> None:
    reports = []
    for name in ("a.mp4", "b.mp4"):
        reports.append(dub(settings(output=tmp_path / name)))
    assert reports[0].origin.mark == reports[1].origin.mark
    assert content(tmp_path / "a.mp4") == content(tmp_path / "b.mp4")
