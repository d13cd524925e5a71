"""Are dubs that were damaged on purpose found out, and how many places does a clean dub list?

    python -m benchmarks.suspects VIDEO SPEECH VIDEO SPEECH … [--store FOLDER]

Each video is dubbed with its speech by the default method, judged as it is, and judged again with
one damage at a time: 20 mouths exchanged with 20 others, the mouth held open in silence, the box
of the mouth shifted for 12 frames, the sound 120 ms late, and one second of the mouth of the next
video's person. A damage is found if a suspect of its class meets its place.
"""

import tempfile
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.command import command_parser, table
from flows.dub import Tracks, dub, with_sound
from flows.inspection.suspects import Parts, judge, parts_of
from flows.settings import DubSettings, read_settings
from models.audio.mel import SAMPLE_RATE
from models.metrics.lips import silent_and_sounding
from models.speech_to_lips.neutral import opening
from models.suspects.suspect import CLASSES, Suspect, runs
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.media.audio import decode_audio
from stores.runs import find_run
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.result.composite import composite
from tasks.result.output_frames import lay_out
from tasks.result.render import RENDER
from tasks.speech.sound_levels import sound_levels

DAMAGES = {
    "swapped": "jump",
    "open": "silence",
    "shifted": "box_jump",
    "late": "sound",
    "another": "identity",
}
"""Damage → class in which it must be found."""

LATE_SECONDS = 0.12
_SWAPPED, _SHIFTED, _ANOTHER_SECONDS = 20, 12, 1.0
_SHIFT = (0.1, 0.06)
"""Of the crop's side."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Clean:
    """A dub as it should be."""

    settings: DubSettings
    parts: Parts

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each row is shown."""
        video = self.parts.source.timeline.attributes["video"]
        tick = video["time_base_num"] / video["time_base_den"]
        return np.asarray(self.parts.output_frames.read("pts") * tick, np.float64)


@stage(RENDER, version=1)
def damaged(render: Artifact, other: Artifact | None, *, rows: list[int], lent: list[int]) -> Made:
    """A render whose rows show other mouths, or lie elsewhere.

    Args:
        other: Whose rows `lent` replace them; None shifts them.
        rows: That are damaged.
    """
    arrays = {name: render.read(name) for name in RENDER.arrays}
    size = arrays["mask"].shape[1]
    if other is None:
        arrays["transform"][rows, :, 2] += np.float32(size) * np.array(_SHIFT, np.float32)
        return Made(arrays, render.attributes)
    for name in ("patch", "mask"):
        for row, picture in zip(rows, other.read_rows(name, np.array(lent)), strict=True):
            arrays[name][row] = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    shift = other.read_rows("own_shift", np.array(lent))
    arrays["own_shift"][rows] = shift * (size / other.sizes["x"])
    return Made(arrays, render.attributes)


def clean(store: Store, settings: DubSettings) -> Clean:
    """Dub, and open what was made; needs an active run."""
    record = find_run(store, dub(settings, catalog=False).run)
    return Clean(settings, parts_of(store, record))


def damage(one: Clean, how: str, other: Clean, folder: Path) -> tuple[Parts, Path, Rows] | None:
    """What a damaged dub is made of, its file, and the rows where it must be found; None: no place.

    Args:
        other: Another person's dub.
        folder: For the late sound.
    """
    parts, speech = one.parts, Source.of(one.settings.speech)
    assert parts.render is not None and other.parts.render is not None
    frames = parts.output_frames.sizes["frame"]
    render, place = parts.render, np.arange(frames)
    if how == "swapped":
        first, second = frames // 4, frames - frames // 4 - _SWAPPED
        one_way = list(range(first, first + _SWAPPED))
        other_way = list(range(second, second + _SWAPPED))
        render = damaged(render, render, rows=one_way + other_way, lent=other_way + one_way)
        place = np.array([first, first + _SWAPPED, second, second + _SWAPPED])
    elif how == "open":
        place = _in_silence(one)
        if not len(place):
            return None
        widest = int(np.argmax(opening(_dubbed_mouths(one))))
        render = damaged(render, render, rows=place.tolist(), lent=[widest] * len(place))
    elif how == "shifted":
        place = np.arange(frames // 2, frames // 2 + _SHIFTED)
        render = damaged(render, None, rows=place.tolist(), lent=[])
    elif how == "another":
        start = frames // 3
        stop = int(np.searchsorted(one.seconds, one.seconds[start] + _ANOTHER_SECONDS))
        place = np.arange(start, stop)
        lent = (place % other.parts.render.sizes["frame"]).tolist()
        render = damaged(render, other.parts.render, rows=place.tolist(), lent=lent)
    else:
        speech = _late(one.settings, folder)
    picture = composite(
        parts.source,
        output_frames=parts.output_frames,
        render=render,
        blend=one.settings.blend,
        encode=one.settings.encode,
        mark=None,
        label=None,
    )
    _, length = lay_out(
        parts.source.timeline, float(parts.speech.attributes["seconds"]), one.settings.sync
    )
    made = with_sound(
        one.settings,
        parts.source,
        picture,
        speech,
        parts.output_frames,
        length,
        Tracks(None, None),
    )
    return replace(parts, render=render), made.file(made.attributes["file"]), place


def listed(artifact: Artifact) -> list[Suspect]:
    """The suspects that an artifact holds."""
    names = list(CLASSES)
    arrays = [artifact.read(name) for name in ("class", "start", "stop", "weight")]
    rows = zip(*arrays, artifact.attributes["reasons"], strict=True)
    return [Suspect(names[kind], int(a), int(b), float(w), why) for kind, a, b, w, why in rows]


def is_found(how: str, found: list[Suspect], place: Rows) -> Suspect | None:
    """The heaviest suspect of the damage's class that meets its place, give or take a frame."""
    for each in found:
        if each.kind == DAMAGES[how] and ((place >= each.start - 1) & (place <= each.stop)).any():
            return each
    return None


def _in_silence(one: Clean) -> Rows:
    """The longest run of rows well within silence, half a second of it."""
    levels = sound_levels(one.parts.speech).read("level").astype(np.float64)
    silent, _ = silent_and_sounding(levels, one.seconds)
    found = max(runs(silent), key=lambda run: run[1] - run[0], default=(0, 0))
    rows = np.arange(*found)
    return rows[: int(np.searchsorted(one.seconds, 0.5))] if len(rows) >= 4 else rows[:0]


def _dubbed_mouths(one: Clean) -> NDArray[np.float32]:
    """Mouths (frame, 57, 3) that the speech asked for."""
    render = one.parts.render
    assert render is not None
    motion = Store(one.settings.store).get(*render.manifest.inputs["motion"])
    return np.asarray(motion.read("mouth"), np.float32)


def _late(settings: DubSettings, folder: Path) -> Source:
    samples = decode_audio(settings.speech, rate=SAMPLE_RATE, mono=True)[:, 0]
    late = np.concatenate([np.zeros(round(LATE_SECONDS * SAMPLE_RATE), np.float32), samples])
    path = folder / f"{settings.speech.stem}.late.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.rint(np.clip(late, -1, 1) * 32767).astype("<i2").tobytes())
    return Source.of(path)


@contextmanager
def opened(pairs: list[tuple[Path, Path]], store: Store, folder: Path) -> Iterator[list[Clean]]:
    """The dubs of pairs of video and speech, and a run to judge them in."""
    dubs = []
    for video, speech in pairs:
        given = {"video": video, "audio": speech, "output": folder / f"{video.stem}.mp4"}
        dubs.append(read_settings(None, [], {**given, "store": store.url, "workers": 1}))
    with open_run(store):
        yield [clean(store, each) for each in dubs]


def main() -> None:
    """Print what clean dubs list and which damages are found."""
    parser = command_parser(__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="video, speech, video, speech …")
    parser.add_argument("--store", help="folder that keeps what was computed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(given.store or folder / "store")
        pairs = list(zip(given.files[::2], given.files[1::2], strict=True))
        rows = []
        with opened(pairs, store, folder) as dubs:
            for number, one in enumerate(dubs):
                found = listed(judge(one.parts, one.settings.output))
                counts = Counter(each.kind for each in found)
                minutes = float(one.seconds[-1]) / 60
                cells = [f"{len(found) / minutes:.1f} ({dict(counts)})"]
                for each in found:
                    print(f"  {each.kind} {each.start}-{each.stop} {each.weight} {each.reason}")
                for how in DAMAGES:
                    made = damage(one, how, dubs[(number + 1) % len(dubs)], folder)
                    if made is None:
                        cells.append("no silence")
                        continue
                    parts, file, place = made
                    hit = is_found(how, listed(judge(parts, file)), place)
                    cells.append(f"rows {hit.start}-{hit.stop}, {hit.weight:.2f}" if hit else "no")
                rows.append([one.settings.video.name, f"{60 * minutes:.1f}", *cells])
        table(["clip", "s", "clean, a minute", *DAMAGES], rows)


if __name__ == "__main__":
    main()
