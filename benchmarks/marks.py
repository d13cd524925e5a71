"""What the marks of origin survive, what they cost in quality, and how often chance looks like one.

    python -m benchmarks.marks --clips DIR --store FOLDER [--count 10] [--unmarked 100]

The longest clip of each person is dubbed with speech of DIR/speech, the `--count` longest of these;
each dub is attacked in twelve ways, and read again by the detectors of `dubflow verify`: how many
marks are found, and in how many of these the number is right. Quality is measured on lossless
dubs with and without the marks: in the picture over the luma of pixels that the dub changed, in the
sound over the whole. The clips themselves, and some of the other split, are the unmarked ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import clip_arguments, clip_rows
from benchmarks.command import table
from flows.dub import dub
from flows.settings import DubSettings
from models.marks.code import LIMIT, Reading
from stores.media.audio import audio_blocks, audio_facts
from stores.media.planes import plane_views
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.result.marks import mark_in_picture, mark_in_sound

_TICK = Fraction(1, 90000)

Image = NDArray[np.uint8]
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Attack:
    """One thing that happens to files.

    Attributes:
        name: For the table.
        picture: What happens to each frame, RGB.
        video: Encoder and its options; None: the picture is left out.
        rate: Frames a second that are shown, over those of the dub; time stays.
        speed: At which it plays.
        gain: Of the sound, as a factor.
        sound: Encoder and its kbit/s; None: the sound is left out.
    """

    name: str
    picture: Callable[[Image], Image] = lambda frame: frame
    video: tuple[str, dict[str, str]] | None = None
    rate: float = 1.0
    speed: float = 1.0
    gain: float = 1.0
    sound: tuple[str, int] | None = None


def half(frame: Image) -> Image:
    """A quarter of the pixels."""
    return np.asarray(cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def cropped(frame: Image) -> Image:
    """Without a twentieth on every side."""
    y, x = (side // 20 for side in frame.shape[:2])
    return frame[y : len(frame) - y, x : frame.shape[1] - x]


def _x264(crf: int) -> tuple[str, dict[str, str]]:
    return "libx264", {"crf": str(crf), "preset": "medium"}


ATTACKS = (
    Attack("H.264 crf 23", video=_x264(23)),
    Attack("H.264 crf 28", video=_x264(28)),
    Attack("half size, crf 23", half, _x264(23)),
    Attack("half size, crf 28", half, _x264(28)),
    Attack("10 % crop, crf 23", cropped, _x264(23)),
    Attack("6/5 of the frame rate, crf 23", video=_x264(23), rate=1.2),
    Attack("HEVC crf 28", video=("libx265", {"crf": "28", "preset": "ultrafast"})),
    Attack("AAC 96 kb/s", sound=("aac", 96)),
    Attack("MP3 128 kb/s", sound=("libmp3lame", 128)),
    Attack("+3 dB, AAC 96", gain=10 ** (3 / 20), sound=("aac", 96)),
    Attack("-3 dB, AAC 96", gain=10 ** (-3 / 20), sound=("aac", 96)),
    Attack("4 % faster, crf 23, AAC 96", video=_x264(23), speed=1.04, sound=("aac", 96)),
)


def attacked(dubbed: Path, attack: Attack, folder: Path) -> Path:
    """The file after it."""
    path = folder / ("attacked.mp3" if "mp3" in str(attack.sound) else "attacked.mp4")
    with av.open(str(path), "w") as out:
        picture = _add_picture(out, dubbed, attack, *attack.video) if attack.video else None
        sound = _add_sound(out, dubbed, *attack.sound) if attack.sound else None
        if picture is not None:
            _write_picture(out, picture, dubbed, attack)
        if sound is not None:
            _write_sound(out, sound, dubbed, attack)
    return path


def _add_picture(out: Any, dubbed: Path, attack: Attack, codec: str, options: Any) -> Any:
    video = scan(dubbed).video
    height, width = attack.picture(np.zeros((video.height, video.width, 3), np.uint8)).shape[:2]
    stream = out.add_stream(codec, rate=Fraction(25))
    stream.width, stream.height = width // 2 * 2, height // 2 * 2
    stream.options = options | ({"x265-params": "log-level=0"} if "265" in codec else {})
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = _TICK
    return stream


def _write_picture(out: Any, stream: Any, dubbed: Path, attack: Attack) -> None:
    for seconds, picture in _shown(dubbed, attack.rate):
        even = attack.picture(picture)[: stream.height, : stream.width]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts, frame.time_base = round(seconds / attack.speed / _TICK), _TICK
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _shown(path: Path, rate: float) -> Iterator[tuple[float, Image]]:
    """Frames and when they are shown [s]; at another rate the nearest ones, some of them again."""
    clip = scan(path)
    seconds = clip.seconds
    wanted = seconds if rate == 1 else np.arange(0, seconds[-1], np.diff(seconds).mean() / rate)
    rows = np.clip(np.searchsorted(seconds, wanted, side="right") - 1, 0, None)
    shown = 0
    for row, frame in enumerate(read_frames(path, clip, 0, len(clip))):
        while shown < len(rows) and rows[shown] == row:
            yield float(wanted[shown]), frame.rgb()
            shown += 1


def _add_sound(out: Any, dubbed: Path, codec: str, kbps: int) -> Any:
    facts = audio_facts(dubbed)
    stream = out.add_stream(codec, rate=facts.rate)
    stream.layout = "stereo" if facts.channels == 2 else "mono"
    stream.format, stream.bit_rate = "fltp", kbps * 1000
    return stream


def _write_sound(out: Any, stream: Any, dubbed: Path, attack: Attack) -> None:
    sound = np.concatenate(list(audio_blocks(dubbed))) * np.float32(attack.gain)
    at = np.arange(0, len(sound) - 1, attack.speed)
    if attack.speed != 1:
        sound = np.stack([np.interp(at, np.arange(len(sound)), each) for each in sound.T], 1)
    for begin in range(0, len(sound), 1152):
        part = np.ascontiguousarray(np.clip(sound[begin : begin + 1152].T, -1, 1), np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts = stream.rate, begin
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def quality(video: Path, marked: Path, plain: Path) -> tuple[float, float, float, int]:
    """PSNR [dB] of the luma where the dub changed it, SNR of the sound [dB], and the mean and the
    largest difference there [levels]."""
    squares, absolute, largest, count = 0.0, 0.0, 0, 0
    clips = [scan(path) for path in (video, marked, plain)]
    rows = min(map(len, clips))
    frames = [
        read_frames(p, c, 0, rows) for p, c in zip((video, marked, plain), clips, strict=True)
    ]
    for each in zip(*frames, strict=True):
        source, with_mark, without = (
            plane_views(frame.native())[0].astype(np.int16) for frame in each
        )
        region = (without != source) | (with_mark != without)
        difference = np.abs(with_mark - without)[region].astype(np.int64)
        squares, absolute = squares + np.square(difference).sum(), absolute + difference.sum()
        largest, count = max(largest, int(difference.max(initial=0))), count + difference.size
    sounds = [np.concatenate(list(audio_blocks(path))) for path in (marked, plain)]
    noise = np.square(sounds[0] - sounds[1]).sum()
    return (
        10 * np.log10(255**2 * count / squares),
        10 * np.log10(np.square(sounds[1]).sum() / noise),
        absolute / count,
        largest,
    )


def longest(folder: Path, count: int) -> list[Path]:
    """The longest validation clip of each person, the longest of these."""
    best: dict[str, dict[str, str]] = {}
    for row in clip_rows(folder, "validation", seconds=0):
        other = best.get(row["person"])
        if other is None or float(row["seconds"]) > float(other["seconds"]):
            best[row["person"]] = row
    rows = sorted(best.values(), key=lambda row: -float(row["seconds"]))
    return [folder / row["file"] for row in rows[:count]]


def _told(reading: Reading | None, payload: int) -> str:
    if reading is None:
        return "-"
    if not reading.found:
        return f"{reading.score:.1f} no"
    return f"{reading.score:.1f}{'' if reading.payload == payload else ' other number'}"


def robustness(clips: list[Path], speech: list[Path], store: str, folder: Path) -> None:
    """Tables of quality, and of what is found after each attack."""
    dubs: list[tuple[Path, int]] = []
    lossless = {"encode": {"crf": 0, "preset": "ultrafast"}, "sound": {"audio_codec": "flac"}}

    def dubbed(number: int, suffix: str, mark: bool, more: dict[str, Any]) -> Path:
        output = folder / f"{clips[number].stem}.{'marked' if mark else 'plain'}{suffix}"
        given = {
            "video": clips[number],
            "audio": speech[number % len(speech)],
            "output": output,
            "store": store,
            "sync": {"mode": "cut_off"},
            "origin": {"mark": mark},
        }
        if not output.exists():
            dub(DubSettings.model_validate(given | more), catalog=False)
        return output

    def rows_of_quality() -> Iterator[tuple[object, ...]]:
        for number, clip in enumerate(clips):
            found = mark_in_sound(path := dubbed(number, ".mp4", True, {}))
            assert found is not None
            dubs.append((path, found.payload))
            pair = [dubbed(number, ".mkv", mark, lossless) for mark in (True, False)]
            psnr, snr, mean, largest = quality(clip, *pair)
            shown = [f"{psnr:.1f}", f"{snr:.1f}", f"{mean:.2f}", str(largest)]
            yield (
                clip.name,
                *shown,
                _told(mark_in_picture(path), found.payload),
                f"{found.score:.1f}",
            )

    table(
        ["clip", "PSNR [dB]", "SNR [dB]", "mean [levels]", "largest", "picture", "sound"],
        rows_of_quality(),
    )

    def rows_of_attacks() -> Iterator[tuple[str, ...]]:
        for attack in ATTACKS:
            told: dict[str, list[str]] = {"picture": [], "sound": []}
            for path, payload in dubs:
                broken = attacked(path, attack, folder)
                if attack.video:
                    told["picture"].append(_told(mark_in_picture(broken), payload))
                if attack.sound:
                    told["sound"].append(_told(mark_in_sound(broken), payload))
            for what, all_told in told.items():
                found = [each for each in all_told if "no" not in each.split() and each != "-"]
                right = [each for each in found if "other" not in each]
                if all_told:
                    yield (attack.name, what, len(found), len(right), ", ".join(all_told))

    table(["attack", "in", "found", "number right", "scores"], rows_of_attacks())


def false_alarms(clips: list[Path]) -> None:
    """How high chance got in files without a mark."""
    for name, look in (("sound", mark_in_sound), ("picture", mark_in_picture)):
        readings = [reading for clip in clips if (reading := look(clip)) is not None]
        best = max(readings, key=lambda reading: reading.score)
        print(
            f"{name}: {sum(r.found for r in readings)} of {len(readings)} unmarked clips found; "
            f"highest score {best.score:.2f}, bound on chance there {best.chance:.2g}, "
            f"limit {LIMIT:g}",
            flush=True,
        )


def main() -> None:
    """Print all tables."""
    arguments = clip_arguments(__doc__)
    arguments.add_argument("--count", type=int, default=10)
    arguments.add_argument("--unmarked", type=int, default=100)
    arguments.add_argument("--folder", type=Path, required=True)
    given = arguments.parse_args()
    cv2.setNumThreads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.count:
        speech = sorted((given.clips / "speech").iterdir())
        speech = [path for path in speech if path.suffix in (".wav", ".flac")]
        store = str(given.store or given.folder / "store")
        robustness(longest(given.clips, given.count), speech, store, given.folder)
    if given.unmarked:
        rows = clip_rows(given.clips, "validation", seconds=0)
        rows += clip_rows(given.clips, "train", seconds=3)
        false_alarms([given.clips / row["file"] for row in rows[: given.unmarked]])


if __name__ == "__main__":
    main()
