"""Two thousand damaged files: each is refused in one line, or is what ffmpeg says it is.

Every file is made from its number alone. `python -m tests.flows.test_fuzz_media mkv 57` says what
becomes of one, and leaves it in the working directory.
"""

import json
import multiprocessing
import multiprocessing.connection
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pytest

import tasks.source.mesh_detector  # noqa: F401  (loaded once, before processes are forked)
from flows.dub import dub
from flows.settings import read_settings
from stores.errors import DubflowError
from stores.media.audio import audio_blocks, audio_facts
from stores.media.scanning import scan
from tests.media_factory import make_audio, make_video
from tests.mutations import mutate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SEED = 20261128
FILES = 286  # of each container
DUB_EVERY = 10
SECONDS, HUNG_SECONDS = 20, 120
"""Processor time that a file may take, and when one that waits for nothing is given up."""
BYTES = 2 * 2**30
SECONDS_OFF = 0.06
"""Gaps up to 0.05 s are jitter to us; ffmpeg fills what the times of a stream say."""

SEEDS: dict[str, list[dict[str, Any]]] = {
    "mp4": [
        {"audio": "aac"},
        {"codec": "mpeg4", "audio": "aac"},
        {"audio": "aac", "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    ],
    "mov": [
        {"audio": "aac", "rotation": 90},
        {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "audio": "pcm_s16le"},
    ],
    "mkv": [
        {"audio": "flac"},
        {"audio": "libopus", "audio_rate": 48000},
        {"codec": "ffv1", "audio": "pcm_s16le"},
    ],
    "webm": [
        {"codec": "libvpx", "audio": "libopus", "audio_rate": 48000},
        {"codec": "libvpx-vp9", "audio": "libopus", "audio_rate": 48000},
    ],
    "ts": [{"audio": "aac"}, {"codec": "mpeg2video", "audio": "mp2"}],
    "wav": [{}, {"codec": "pcm_f32le", "channels": 2}, {"codec": "pcm_s24le", "rate": 44100}],
    "mp3": [{"codec": "libmp3lame"}, {"codec": "libmp3lame", "rate": 44100, "channels": 2}],
}
"""What the files of a container are made of."""
SOUND_ONLY = {"wav", "mp3"}


@dataclass
class Finding:
    """What became of one file.

    Attributes:
        changes: What was done to it.
        frames: number of its pictures, or None if it was refused.
        span: seconds from the first picture to the last.
        samples: number of samples of its sound at its own rate, or None if it was refused.
        rate: Hz.
        refused: By which step, in which line.
        faults: What must not happen.
        seconds: of processor time.
        bytes: of memory, at most.
        reference: What ffmpeg makes of it.
    """

    changes: str
    frames: int | None = None
    span: float = 0.0
    samples: int | None = None
    rate: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    bytes: int = 0
    reference: dict[str, Any] = field(default_factory=dict)


@cache
def seed_files(suffix: str) -> list[bytes]:
    """Small undamaged files of a container: about a second, with sound."""
    files = []
    with TemporaryDirectory() as folder:
        path = Path(folder, f"seed.{suffix}")
        for options in SEEDS[suffix]:
            if suffix in SOUND_ONLY:
                make_audio(path, **options)
            else:
                make_video(path, frames=24, size=(64, 48), **options)
            files.append(path.read_bytes())
    return files


def damaged_file(suffix: str, number: int) -> tuple[bytes, str]:
    """The file of a number, and what was done to it."""
    random = np.random.default_rng([SEED, sorted(SEEDS).index(suffix), number])
    files = seed_files(suffix)
    return mutate(files[number % len(files)], random)


def examine(path: Path, found: Finding, *, dubbing: bool) -> None:
    """Scan, decode and, if asked for, dub one file, and have ffmpeg read it."""
    folder, suffix = path.parent, path.suffix[1:]
    if suffix not in SOUND_ONLY:
        with _step(found, "scan"):
            timeline = scan(path)
            found.frames = len(timeline)
            found.span = float(timeline.seconds[-1] - timeline.seconds[0])
    with _step(found, "decode"):
        found.samples = sum(len(block) for block in audio_blocks(path))
        found.rate = audio_facts(path).rate
    if dubbing:
        if suffix not in SOUND_ONLY:
            with _step(found, "dub"):
                speech = make_audio(folder / "speech.wav")
                frames = _dub(path, speech, folder / "as video")
                if frames != found.frames:
                    found.faults.append(f"dub writes {frames} of {found.frames} frames")
        with _step(found, "dub as speech"):
            video = make_video(folder / "video.mp4", frames=12, size=(64, 48))
            if (frames := _dub(video, path, folder / "as speech")) != 12:
                found.faults.append(f"dub as speech writes {frames} of 12 frames")
    used = resource.getrusage(resource.RUSAGE_SELF)
    found.seconds = used.ru_utime + used.ru_stime
    found.bytes = used.ru_maxrss * 1024
    found.reference = reference(path)
    found.faults += differences(found)


def _dub(video: Path, speech: Path, folder: Path) -> int:
    """Dub in this process; gives the number of pictures that the output holds."""
    given = {"video": video, "audio": speech, "output": folder / "out.mp4", "workers": 1}
    folder.mkdir()
    report = dub(read_settings(None, [], given | {"store": str(folder / "store")}))
    frames = len(scan(report.output))
    shutil.rmtree(folder)
    return frames


class _step:
    """Notes a refusal, and takes for a fault whatever else comes out."""

    def __init__(self, found: Finding, name: str) -> None:
        self._found, self._name = found, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, DubflowError):
            self._found.refused[self._name] = str(error)
            if "\n" in str(error):
                self._found.faults.append(f"{self._name}: more than a line: {error}")
        elif error is not None:
            lines = "".join(traceback.format_exception(error))
            self._found.faults.append(f"{self._name}: {lines}")
        return True


def reference(path: Path) -> dict[str, Any]:
    """What ffmpeg reads in a file: by the program, or where there is none by PyAV.

    Returns:
        `times`, seconds of the pictures; `samples`, number of samples as they follow each other;
        `sound_end`, seconds at which the sound ends by its times; `silent`, whether it finds no
        fault; `errors`, what it finds.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return _reference_by_pyav(path)
    lists = {kind: path.with_suffix(f".{kind}.txt") for kind in "va"}
    command = [program, "-nostdin", "-y", "-v", "error", "-i", str(path)]
    for kind, listed in lists.items():
        options = ["-fps_mode", "passthrough", "-enc_time_base", "-1"] if kind == "v" else []
        command += ["-map", f"0:{kind}:0?", *options, "-f", "framecrc", str(listed)]
    ended = subprocess.run(command, capture_output=True, timeout=HUNG_SECONDS)
    times, samples, sound_end = [], 0, 0.0
    for kind, listed in lists.items():
        lines = listed.read_text().splitlines() if listed.exists() else []
        tick = Fraction(0)
        for line in lines:
            if line.startswith("#tb"):
                tick = Fraction(line.split()[-1])
            elif not line.startswith("#"):
                _, _, pts, duration, _ = map(int, line.split(",")[:5])
                if kind == "v":
                    times.append(float(pts * tick))
                else:
                    samples += duration
                    sound_end = float((pts + duration) * tick)
    errors = ended.stderr.decode(errors="replace")
    return {
        "times": times,
        "samples": samples,
        "sound_end": sound_end,
        "silent": not errors and ended.returncode == 0,
        "errors": errors[-500:],
    }


def _reference_by_pyav(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = {"times": [], "samples": 0, "sound_end": 0.0, "silent": True}
    read["errors"] = ""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            streams = [*container.streams.video[:1], *container.streams.audio[:1]]
            start = (container.start_time or 0) / av.time_base
            for packet in container.demux(streams):
                frames: list[Any] = []
                with suppress(av.error.FFmpegError):
                    frames = list(packet.decode())
                for frame in frames:
                    at = (frame.time or 0.0) - start
                    if isinstance(frame, av.VideoFrame):
                        read["times"].append(at)
                    else:
                        read["samples"] += frame.samples
                        read["sound_end"] = at + frame.samples / frame.sample_rate
    except (av.error.FFmpegError, ValueError) as error:
        read |= {"silent": False, "errors": str(error)}
    return read


def differences(found: Finding) -> list[str]:
    """Where a file that was accepted holds something else than ffmpeg finds in it."""
    read, faults = found.reference, []
    times = read["times"]
    if found.frames is not None:
        if found.frames != len(times):
            faults.append(f"{found.frames} frames, ffmpeg: {len(times)}")
        elif abs(found.span - (times[-1] - times[0])) > SECONDS_OFF:
            faults.append(f"{found.span:.3f} s of pictures, ffmpeg: {times[-1] - times[0]:.3f}")
    if found.samples is not None:
        plain, timed = read["samples"] / found.rate, read["sound_end"]
        seconds = found.samples / found.rate
        if not min(plain, timed) - SECONDS_OFF <= seconds <= max(plain, timed) + SECONDS_OFF:
            faults.append(f"{seconds:.3f} s of sound, ffmpeg: {plain:.3f}, by times {timed:.3f}")
    return faults


def _examine_apart(
    name: str, data: bytes, changes: str, dubbing: bool, folder: Path, pipe: Any
) -> None:
    """Run in a process of its own, which ends where it takes too much."""
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # Address space is not memory in use; twice the limit only keeps the machine from swapping.
    resource.setrlimit(resource.RLIMIT_AS, (virtual + 2 * BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 2))
    found = Finding(changes)
    with TemporaryDirectory(dir=folder) as own:
        path = Path(own, name)
        path.write_bytes(data)
        examine(path, found, dubbing=dubbing)
    pipe.send(asdict(found))


def examine_all(suffix: str, numbers: range, folder: Path, jobs: int) -> Iterator[Finding]:
    """Examine files side by side, each in a process forked from one that has all imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    waiting = list(reversed(numbers))
    running: dict[int, tuple[Any, Any, float, str]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            number = waiting.pop()
            ours, theirs = context.Pipe(duplex=False)
            data, changes = damaged_file(suffix, number)
            given = (f"{number}.{suffix}", data, changes, number % DUB_EVERY == 0, folder, theirs)
            process = context.Process(target=_examine_apart, args=given)
            process.start()
            theirs.close()
            label = f"{suffix} {number} ({changes})"
            running[process.sentinel] = (process, ours, time.monotonic(), label)
        ready = multiprocessing.connection.wait(
            [each for process, ours, *_ in running.values() for each in (process.sentinel, ours)], 1
        )
        for sentinel, (process, ours, began, label) in list(running.items()):
            hung = time.monotonic() - began > HUNG_SECONDS
            if not hung and sentinel not in ready and ours not in ready:
                continue
            if hung:
                process.kill()
            result = None
            with suppress(EOFError):
                result = ours.recv()
            process.join(HUNG_SECONDS)
            ours.close()
            del running[sentinel]
            found = Finding(**result) if result else Finding(label)
            if result is None or process.exitcode:
                name = signal.Signals(-process.exitcode).name if process.exitcode < 0 else "error"
                found.faults.append(f"its process ended by {name}")
            found.faults = [f"{label}: {fault}" for fault in found.faults]
            yield found


def summary(suffix: str, findings: list[Finding]) -> str:
    """One line of figures."""
    steps = Counter(step for found in findings for step in found.refused)
    strict = sum(bool(found.refused) and found.reference["silent"] for found in findings)
    return (
        f"{suffix}: {len(findings)} files, "
        f"{sum(found.frames is not None for found in findings)} scanned, "
        f"{sum(found.samples is not None for found in findings)} decoded, "
        f"refused: {dict(steps)}, of which ffmpeg reads {strict} without a word; "
        f"{max(found.seconds for found in findings):.1f} s, "
        f"{max(found.bytes for found in findings) / 2**20:.0f} MiB at most"
    )


@pytest.mark.parametrize("suffix", SEEDS)
def test_damaged_files_are_refused_or_are_what_ffmpeg_says(suffix: str, tmp_path: Path) -> None:
    findings = list(examine_all(suffix, range(FILES), tmp_path, jobs=2))
    sys.stdout.write(summary(suffix, findings) + "\n")
    assert [fault for found in findings for fault in found.faults] == []
    assert max(found.bytes for found in findings) < BYTES


if __name__ == "__main__":
    kept = Path(f"{sys.argv[2]}.{sys.argv[1]}").absolute()
    content, done = damaged_file(sys.argv[1], int(sys.argv[2]))
    kept.write_bytes(content)
    outcome = Finding(done)
    examine(kept, outcome, dubbing=False)
    sys.stdout.write(json.dumps(asdict(outcome), indent=2) + "\n")
