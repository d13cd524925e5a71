"""Whole dubs: what a user gets, and what is computed again after which change."""

import errno
import os
import shutil
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest

from flows.dub import dub
from flows.dub_inputs import check_inputs
from flows.dub_notes import picture_notes, speech_notes
from flows.dub_report import DubReport
from flows.origin import deliver
from flows.presets import at_path, checked, merge
from flows.settings import DubSettings
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import (
    DamagedArtifact,
    InputError,
    MediaError,
    MissingWeights,
    SettingsError,
    StoreFull,
)
from stores.media.audio import decode_audio
from stores.media.scanning import scan
from stores.media.settings import EncodeSettings
from stores.runs import RunRecord
from tasks.engine.run import Run
from tasks.speech.waveform import waveform
from tests.flows.conftest import FRAMES, computed, cut_wav
from tests.media_factory import (
    EXAMPLE,
    NTSC,
    content,
    make_audio,
    make_still,
    make_video,
    variable_times,
)
from tests.stores.media.test_odd_but_valid import RATE, tracks_of_levels

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]

VIDEO_STAGES = {
    *("timeline", "faces", "face_descriptors", "track", "landmarks", "crops", "visibility"),
    *("speaker", "lip_expression"),
}


def luma(path: Path) -> list[np.ndarray[Any, Any]]:
    """Luma planes of all frames."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="gray") for f in container.decode(video=0)]


def test_dub_keeps_size_times_and_length(settings: Make) -> None:
    given = settings()
    report = dub(given)
    before, after = scan(given.video), scan(given.output)
    assert report.frames == FRAMES == len(after)
    assert report.valid_frames == FRAMES
    assert report.no_face_ranges == []
    assert report.in_reach is not None and 0 <= report.in_reach <= 1
    assert (after.video.width, after.video.height) == (400, 300)
    np.testing.assert_allclose(after.seconds, before.seconds, atol=float(after.time_base))
    assert len(decode_audio(given.output)) == round(before.end_pts * before.time_base * 16000)


def test_the_mouth_moves_and_nothing_else(settings: Make) -> None:
    given = settings(encode={"crf": 0})
    dub(given)
    changed = np.stack([a != b for a, b in zip(luma(given.video), luma(given.output), strict=True)])
    where = changed.any(axis=0)
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    assert changed.any(axis=(1, 2)).sum() > FRAMES // 2
    assert rows[0] > 150, "above the upper lip the frame is untouched"
    assert columns[-1] - columns[0] < 130
    assert where.mean() < 0.1


def test_second_run_computes_nothing(settings: Make) -> None:
    given = settings()
    dub(given)
    first = content(given.output)
    given.output.unlink()
    report = dub(given)
    assert computed(report) == set()
    assert content(given.output) == first


def test_damage_is_mended_by_the_same_command(settings: Make, tmp_path: Path) -> None:
    given = settings()
    first = dub(given)
    made = content(given.output)
    shutil.copytree(given.store, tmp_path / "store")
    given = settings(store=str(tmp_path / "store"))
    keys = {stage.name: stage.key for stage in first.stages}
    os.truncate(artifact_folder(given, "dubbed", keys["dubbed"]) / "manifest.json", 0)
    os.truncate(artifact_folder(given, "track", keys["track"]) / "zarr.json", 3)
    report = dub(given)
    assert {"dubbed", "track"} == computed(report)
    told = [note.split()[0] for note in report.notes if note.endswith("is made again")]
    assert told == ["track", "dubbed"]
    assert content(given.output) == made
    chunk = artifact_folder(given, "render", keys["render"]) / "valid/c/0"
    chunk.write_bytes(bytes(byte ^ 255 for byte in chunk.read_bytes()))
    with pytest.raises(DamagedArtifact, match=r"^render .* the same command makes it again"):
        dub(given)
    assert computed(dub(given)) == {"render"}
    assert dub(given).notes == first.notes


def artifact_folder(given: DubSettings, kind: str, key: str) -> Path:
    return Path(given.store) / kind / key[:2] / key


def test_a_full_output_disk_is_named(settings: Make, tmp_path: Path) -> None:
    class Result:
        attributes: ClassVar = {"file": "dubbed.mp4", "mark": 1}

        def copy_file(self, name: str, target: Path) -> None:
            target.write_bytes(b"some of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "out.mp4").write_bytes(b"an earlier one")
    with pytest.raises(StoreFull, match=f"no space left in the folder {tmp_path}: ") as caught:
        deliver(
            Result(),  # type: ignore[arg-type]
            settings(),
            record=RunRecord("dub", {}, [], None),
            ingredients=[],
            weights=[],
        )
    assert "store" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"an earlier one"


def test_new_speech_leaves_the_video_stages_alone(settings: Make, tmp_path: Path) -> None:
    dub(settings())
    other = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 3.2, 5.0)
    report = dub(settings(audio=other))
    assert computed(report).isdisjoint(VIDEO_STAGES)
    assert {"mel", "motion", "lenders", "render", "composite", "dubbed"} <= computed(report)


def test_new_blend_only_composites_and_muxes(settings: Make) -> None:
    dub(settings())
    report = dub(settings(blend={"mode": "multiband"}))
    assert computed(report) == {"composite", "dubbed"}


def test_other_words_for_the_same_frames_compute_nothing(settings: Make, tmp_path: Path) -> None:
    long = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 2.8)
    dub(settings(audio=long, sync={"mode": "silence"}))
    for sync in ({"mode": "cut_off"}, {"end_seconds": 9.0}):
        assert computed(dub(settings(audio=long, sync=sync))) == set()
    almost = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 2.69)  # ends in the last frame
    dub(settings(audio=almost, sync={"mode": "silence"}))
    report = dub(settings(audio=almost, sync={"mode": "cut_off"}))
    assert computed(report) == {"dubbed"}
    assert report.seconds == pytest.approx(2.39)


def test_new_sound_setting_only_muxes(settings: Make) -> None:
    dub(settings())
    report = dub(settings(sound={"audio_codec": "flac"}))
    assert computed(report) == {"dubbed"}


def test_renamed_inputs_are_the_same_inputs(settings: Make, talk: Path, tmp_path: Path) -> None:
    dub(settings())
    moved = tmp_path / "other name.mp4"
    moved.write_bytes(talk.read_bytes())
    assert computed(dub(settings(video=moved))) == set()


def test_frames_without_a_face_pass_bit_exact(settings: Make, tmp_path: Path) -> None:
    nobody = make_video(tmp_path / "nobody.mp4", frames=40)
    given = settings(video=nobody, encode={"crf": 0})
    report = dub(given)
    assert report.valid_frames == 0 and report.in_reach is None
    assert report.no_face_ranges == [(0, 40)]
    for before, after in zip(luma(nobody), luma(given.output), strict=True):
        np.testing.assert_array_equal(before, after)


def note(report: DubReport, words: str) -> bool:
    """Whether one note, and no other, says so."""
    return sum(words in text for text in report.notes) == 1


@pytest.mark.parametrize(
    "name", ["sync.end_seconds", "origin.label_seconds", "method_settings.lenders.jump_cost"]
)
def test_a_number_without_end_is_refused_by_name(settings: Make, name: str) -> None:
    given = settings().model_dump()
    with pytest.raises(SettingsError, match=rf"{name}.*must be a finite number, got inf"):
        checked(DubSettings, merge(given, at_path(name, float("inf"))))


def test_sound_without_a_sample_is_refused_before_any_work(settings: Make, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    for given in ({"audio": tmp_path / "empty.wav"}, {"bed": tmp_path / "empty.wav"}):
        with pytest.raises(MediaError, match=r"empty\.wav: its sound is empty"):
            check_inputs(settings(**given))


def test_what_else_a_file_holds_is_noted(settings: Make, tmp_path: Path) -> None:
    plain, told = make_video(tmp_path / "plain.mp4", frames=10), tmp_path / "told.mkv"
    with av.open(str(plain)) as source, av.open(str(told), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        chapter = {"start": 0, "time_base": Fraction(1, 25), "metadata": {}}
        made.set_chapters([chapter | {"id": n, "start": 5 * n, "end": 5 * n + 5} for n in (0, 1)])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    report = dub(settings(video=told))
    assert note(report, "of what else the file holds, the output has not: 2 chapters")


def test_what_did_not_happen_is_noted(settings: Make, tmp_path: Path) -> None:
    nobody = make_video(tmp_path / "nobody.mp4", frames=30)
    report = dub(settings(video=nobody))
    assert note(report, "no face was found in any frame")
    assert note(report, "--set detector=s3fd")
    assert note(report, "the last 0.60 s of the speech were cut; --sync-mode loop or bounce")


def test_interlaced_video_with_timecode(settings: Make, tmp_path: Path) -> None:
    nobody = make_video(
        tmp_path / "nobody.mov", frames=30, field_order="bff", metadata={"timecode": "10:00:00:20"}
    )
    given = settings(video=nobody, output=tmp_path / "out.mov", sync={"start_seconds": 0.4})
    report = dub(given)
    found = scan(given.output)
    assert (found.video.field_order, found.timecode) == ("bff", "10:00:01:05")
    assert len(found) == report.frames == 20
    assert note(report, "the picture is interlaced: ")


def test_a_sound_track_is_chosen(settings: Make, tmp_path: Path) -> None:
    tracks = tracks_of_levels(tmp_path / "tracks.mka", [0.2, 1.0])
    nobody = make_video(tmp_path / "nobody.mp4", frames=10)
    loud = settings(video=nobody, audio=tracks)
    first = dub(loud)
    assert note(first, "1 (deu, Desktop), 2 (eng, Mic, default): the speech is taken from number 2")
    assert "waveform" not in computed(dub(settings(video=nobody, audio=tracks, audio_track=2)))
    quiet = settings(video=nobody, audio=tracks, audio_track="de", output=tmp_path / "quiet.mp4")
    assert note(dub(quiet), "the speech is taken from number 1; --audio-track takes another")
    peaks = [np.abs(decode_audio(each.output)).max() for each in (loud, quiet)]
    assert peaks == pytest.approx([0.5, 0.1], abs=0.03)
    for wrong in ({"audio_track": "fra"}, {"source_track": "1"}):
        with pytest.raises(MediaError, match="no sound track"):
            check_inputs(settings(video=nobody, audio=tracks, **wrong))


def test_the_background_is_the_chosen_track_of_the_video(settings: Make, tmp_path: Path) -> None:
    video = tracks_of_levels(tmp_path / "video.mkv", [0.2, 1.0], picture=True)
    silent = make_audio(tmp_path / "silent.wav", samples=RATE, level=0.0)
    peaks = []
    for number in (1, 2):
        given = settings(video=video, audio=silent, keep_background_db=0, source_track=number)
        assert note(dub(given), f"its own speech is taken from number {number}; --source-track")
        peaks.append(float(np.abs(decode_audio(given.output)).max()))
    assert peaks == pytest.approx([0.1, 0.5], abs=0.03)


@pytest.mark.parametrize(
    ("facts", "codec", "words"),
    [
        ({}, "auto", []),
        ({}, "hevc", []),
        ({"field_order": "tff"}, "auto", ["the output is interlaced as the source is"]),
        ({"field_order": "tff"}, "hevc", ["--codec h264 keeps it interlaced"]),
        ({"field_order": "tff", "height": 486}, "auto", ["H.264 can't hold it so"]),
        ({"color_transfer": 18, "frame_format": "yuv420p10le"}, "auto", ["written as HEVC"]),
        ({"color_transfer": 16, "frame_format": "yuv420p10le"}, "h264", ["of 10 bits and 4:2:0"]),
        ({"frame_format": "yuv420p10le"}, "auto", ["--codec hevc makes"]),
        ({"frame_format": "yuv422p"}, "auto", ["of 8 bits and 4:2:2"]),
        ({"frame_format": "yuv422p"}, "hevc", []),
        ({"frame_format": "yuv420p10le", "bit_depth": 12}, "hevc", ["12 bits, of which"]),
    ],
)
def test_what_a_picture_becomes_is_noted(
    talk: Path, facts: dict[str, Any], codec: str, words: list[str]
) -> None:
    video = replace(scan(talk).video, **facts)
    notes = picture_notes(video, EncodeSettings.model_validate({"codec": codec}))
    assert [each in text for each, text in zip(words, notes, strict=True)] == [True] * len(words)


def test_a_dub_that_went_well_has_none_of_these_notes(settings: Make) -> None:
    for mode in ("silence", "cut_off", "loop"):
        report = dub(settings(sync={"mode": mode}))
        assert not [text for text in report.notes if "cut" in text or "face was found" in text]


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (1.0, -1.0, "cancel each other out"),
        (0.0, 0.0, "is silent"),
        (0.0, 1.0, None),
        (1e-2, 1e-2, None),
    ],
)
def test_speech_that_was_not_heard_is_noted(
    run: Run, tmp_path: Path, left: float, right: float, words: str | None
) -> None:
    path = tmp_path / "speech.wav"
    one = 0.5 * np.sin(np.arange(16000) / 9)
    both = np.stack([left * one, right * one], axis=1) * 32767
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        file.writeframes(both.astype("<i2").tobytes())
    heard = waveform(Source.of(path))
    mixed = heard.read("sample")
    notes = speech_notes(path, heard)
    if words == "cancel each other out" and np.abs(mixed).max() > 0.1:
        assert notes == []  # it was heard after all
    else:
        assert [words in text for text in notes] == ([True] if words else [])


def test_a_face_in_some_frames(settings: Make, tmp_path: Path) -> None:
    with av.open(str(EXAMPLE)) as container:
        seen = [f.to_ndarray(format="rgb24") for f, _ in zip(container.decode(video=0), range(40))]  # noqa: B905

    def draw(index: int, width: int, height: int) -> np.ndarray[Any, Any]:
        return np.full_like(seen[0], 128) if 15 <= index < 30 else seen[index]

    path = make_video(tmp_path / "some.mp4", frames=40, size=(400, 300), draw=draw)
    report = dub(settings(video=path))
    assert report.frames == 40
    assert report.no_face_ranges == [(15, 30)]
    assert report.valid_frames == 25


@pytest.mark.parametrize(
    ("mode", "seconds"), [("silence", 2.4), ("cut_off", 1.8), ("loop", 2.4), ("bounce", 2.4)]
)
def test_sync_modes_with_short_speech(settings: Make, mode: str, seconds: float) -> None:
    expected = {"loop": 1.8, "bounce": 1.8}.get(mode, seconds)
    given = settings(sync={"mode": mode})
    report = dub(given)
    assert report.seconds == pytest.approx(expected)
    assert len(decode_audio(given.output)) == round(expected * 16000)
    assert len(scan(given.output)) == report.frames == round(expected * 25)


@pytest.mark.long
@pytest.mark.parametrize(("mode", "second_pass"), [("loop", 0), ("bounce", FRAMES - 1)])
def test_long_speech_repeats_the_video(
    settings: Make, tmp_path: Path, mode: str, second_pass: int
) -> None:
    long = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0, 4)
    given = settings(audio=long, sync={"mode": mode})
    report = dub(given)
    assert report.frames == 100
    frames = Store(given.store).get(*_of(report, "output_frames"))
    rows = frames.read("source_frame")
    assert rows[FRAMES] == second_pass
    assert rows[99] == (39 if mode == "loop" else FRAMES - 40)
    assert len(luma(given.output)) == 100


def test_a_part_of_the_source(settings: Make) -> None:
    given = settings(sync={"start_seconds": 0.8, "end_seconds": 1.6})
    report = dub(given)
    assert report.frames == 20
    assert scan(given.output).seconds[0] == 0
    with pytest.raises(SettingsError, match=r"lies behind the end: .* lasts 2\.400 s"):
        dub(settings(sync={"start_seconds": 80}))


def test_a_still_picture_talks(settings: Make, tmp_path: Path) -> None:
    with av.open(str(EXAMPLE)) as container:
        picture = next(iter(container.decode(video=0))).to_image  # first frame has a face
        frame = next(iter(container.decode(video=0)))
    assert picture is not None
    path = tmp_path / "face.png"
    _write_png(path, frame.to_ndarray(format="bgr24"))
    given = settings(video=path)
    report = dub(given)
    assert report.frames == 45
    assert report.seconds == pytest.approx(1.8)
    assert len(scan(given.output)) == 45


def test_background_is_mixed_in(settings: Make) -> None:
    given = settings()
    dub(given)
    dry = decode_audio(given.output)
    loud = settings(keep_background_db=-6)
    dub(loud)
    wet = decode_audio(loud.output)
    assert len(dry) == len(wet)
    assert np.abs(wet[30000:]).max() > 0.1 > np.abs(dry[30000:]).max()
    with pytest.raises(SettingsError, match="loop or bounce"):
        dub(settings(keep_background_db=-6, sync={"mode": "loop"}))


def test_an_unknown_face_lists_those_there_are(settings: Make) -> None:
    with pytest.raises(SettingsError, match=r"track:7.*track:0 seen in 60 frames"):
        dub(settings(face="track:7"))
    report = dub(settings(face="200,180@1"))
    assert report.valid_frames == FRAMES


@pytest.mark.long
@pytest.mark.parametrize("rate", [*NTSC.values(), Fraction(50)], ids=lambda r: f"{float(r):.2f}")
def test_every_rate_keeps_its_times(settings: Make, tmp_path: Path, rate: Fraction) -> None:
    path = make_video(tmp_path / "rate.mp4", frames=24, size=(200, 150), rate=rate, real_faces=True)
    check_times(settings(video=path))


def test_variable_rate_keeps_its_times(settings: Make, tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "variable.mp4",
        size=(200, 150),
        rate=30,
        pts=variable_times(24),
        time_base=Fraction(1, 1000),
        real_faces=True,
    )
    check_times(settings(video=path))


@pytest.mark.parametrize(
    "oddity",
    [
        {"rotation": 90},
        {"size": (201, 151), "pix_fmt": "yuv444p"},
        {"pix_fmt": "yuv420p10le"},
        pytest.param({"size": (3840, 2160), "frames": 3}, marks=pytest.mark.long),
    ],
    ids=["rotated", "odd-size", "10-bit", "4K"],
)
def test_odd_sources(settings: Make, tmp_path: Path, oddity: dict[str, Any]) -> None:
    shape: dict[str, Any] = {"frames": 12, "size": (200, 150), "real_faces": True}
    path = make_video(tmp_path / "odd.mp4", **(shape | oddity))
    given = settings(video=path)
    check_times(given)
    before, after = scan(path).video, scan(given.output).video
    assert (before.width, before.height) == (after.width, after.height)
    assert before.bit_depth == after.bit_depth


def check_times(given: DubSettings) -> None:
    """Frames out = frames in, at the same times; sound exact to the sample."""
    report = dub(given)
    before, after = scan(given.video), scan(given.output)
    assert report.frames == len(before) == len(after)
    tick = max(float(before.time_base), float(after.time_base))
    np.testing.assert_allclose(after.seconds, before.seconds, atol=tick)
    samples = round(before.end_pts * before.time_base * 16000)
    assert len(decode_audio(given.output)) == samples


def test_bad_inputs_fail_before_any_work(
    settings: Make, talk: Path, speech: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")  # in the shared one others work
    for changes, message in (
        ({"video": talk.with_name("missing.mp4")}, "no such file"),
        ({"video": speech}, "give a video or a still picture"),
        ({"output": talk}, "overwrite"),
        ({"output": talk.with_suffix(".avi")}, "can't write .avi"),
        ({"output": talk.parent / "no" / "out.mp4"}, "folder does not exist"),
        ({"method": "magic"}, "no method 'magic'; there is .*exemplar"),
        ({"method_settings": {"lenders": {"candidatez": 3}}}, "lenders.candidatez"),
        ({"encode": {"crf": 99}}, "encode.crf"),
    ):
        before = set(Store(store).committed())
        with pytest.raises(InputError, match=message):
            dub(settings(store=store, **changes))
        assert set(Store(store).committed()) == before


def test_media_without_sound_as_speech(settings: Make, tmp_path: Path) -> None:
    silent = make_still(tmp_path / "picture.png")
    with pytest.raises((MediaError, InputError), match="sound"):
        dub(settings(audio=silent))


def test_missing_weights_say_where_to_get_them(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="dubflow weights pull s3fd"):
        dub(settings(detector="s3fd", store=str(tmp_path / "empty")))


def _of(report: Any, name: str) -> tuple[str, str]:
    (key,) = (stage.key for stage in report.stages if stage.name == name)
    return name, key


def _write_png(path: Path, bgr: np.ndarray[Any, Any]) -> None:
    import cv2

    assert cv2.imwrite(str(path), bgr)
