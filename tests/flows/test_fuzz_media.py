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
import warnings
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
import av.logging
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

SEED = 20261128
FILES = 286  # of each container
FRAMES = 24
DUB_EVERY = 10
JOBS = 2
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
        {"audio": "flac", "container_options": {"write_crc32": "0"}},
        {"audio": "libopus", "audio_rate": 48000, "container_options": {"write_crc32": "0"}},
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
class Reference:
    """What ffmpeg finds of pictures or sound.

    Attributes:
        frames: number of pictures, or of blocks of sound.
        first: seconds at which the first one begins.
        last: seconds at which the last one begins.
        end: seconds at which all have ended.
        seconds: of all, as they follow each other.
        silent: Whether no fault is reported.
        errors: What is reported.
    """

    frames: int = 0
    first: float = 0.0
    last: float = 0.0
    end: float = 0.0
    seconds: float = 0.0
    silent: bool = False
    errors: str = ""

    def add(self, at: float, seconds: float) -> None:
        """Count one more."""
        self.first = self.first if self.frames else at
        self.frames, self.last = self.frames + 1, at
        self.end = max(self.end, at + seconds)
        self.seconds += seconds


@dataclass
class Finding:
    """What became of one file.

    Attributes:
        changes: What was done to it.
        frames: number of its pictures, or None if they were refused.
        span: seconds from the first picture to the last.
        seconds_of_sound: or None if it was refused.
        refused: By which step, in which line.
        faults: What must not happen.
        processor_seconds: spent on it.
        memory_bytes: in use at most.
        read: `Reference` of its pictures ("v") and of its sound ("a").
    """

    changes: str
    frames: int | None = None
    span: float = 0.0
    seconds_of_sound: float | None = None
    refused: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    processor_seconds: float = 0.0
    memory_bytes: int = 0
    read: dict[str, Reference] = field(default_factory=dict)

    @property
    def strict(self) -> bool:
        """Whether it is refused although ffmpeg reads all of it without a word."""
        return (
            bool(self.refused)
            and bool(self.read)
            and all(each.silent for each in self.read.values())
        )


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
                make_video(path, frames=FRAMES, size=(64, 48), **options)
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
        samples = sum(len(block) for block in audio_blocks(path))
        found.seconds_of_sound = samples / audio_facts(path).rate
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
    found.processor_seconds = used.ru_utime + used.ru_stime
    found.memory_bytes = used.ru_maxrss * 1024
    kinds = "a" if suffix in SOUND_ONLY else "va"
    found.read = references(path, kinds, found)
    faults = differences(found, found.read)
    # The program may be of another version than the libraries, and read damaged files otherwise.
    if faults and differences(found, {kind: _reference_by_pyav(path, kind) for kind in kinds}):
        found.faults += faults


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


def references(path: Path, kinds: str, found: Finding) -> dict[str, Reference]:
    """What ffmpeg reads of a file's pictures ("v") and sound ("a").

    Tells the program; where there is none, and of what was refused, the same libraries by PyAV.
    """
    program = shutil.which("ffmpeg")
    if program is None or (found.frames is None and found.seconds_of_sound is None):
        return {kind: _reference_by_pyav(path, kind) for kind in kinds}
    command = [program, "-nostdin", "-y", "-v", "error", "-i", str(path)]
    listed = {kind: path.with_suffix(f".{kind}.txt") for kind in kinds}
    for kind, target in listed.items():
        command += ["-map", f"0:{kind}:0", "-f", "framecrc"]
        if kind == "v":
            command += ["-fps_mode", "passthrough", "-enc_time_base", "-1"]
        command.append(str(target))
    ended = subprocess.run(command, capture_output=True, timeout=HUNG_SECONDS)
    errors = ended.stderr.decode(errors="replace")[-500:]
    if (errors or ended.returncode) and len(kinds) > 1:  # damage of one may hide the other
        return {kind: references(path, kind, found)[kind] for kind in kinds}
    silent = not errors and ended.returncode == 0
    return {kind: _listed(target, errors, silent) for kind, target in listed.items()}


def _listed(target: Path, errors: str, silent: bool) -> Reference:
    read = Reference(errors=errors, silent=silent)
    tick = Fraction(0)
    for line in target.read_text().splitlines() if target.exists() else []:
        if line.startswith("#tb"):
            tick = Fraction(line.split()[-1])
        elif not line.startswith("#"):
            _, _, pts, duration, _ = map(int, line.split(",")[:5])
            read.add(float(pts * tick), float(duration * tick))
    return read


def _reference_by_pyav(path: Path, kind: str) -> Reference:
    read = Reference()
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture(local=False) as messages:
        try:
            with av.open(str(path), metadata_errors="replace") as container:
                streams = container.streams
                stream: Any = (streams.video if kind == "v" else streams.audio)[0]
                stream.thread_type = "AUTO"  # as ffmpeg has it; damage shows otherwise without
                start = (container.start_time or 0) / av.time_base
                for packet in container.demux(stream):
                    for frame in _decoded(packet, read):
                        seconds = frame.samples / frame.sample_rate if kind == "a" else 0.0
                        read.add((frame.time or 0.0) - start, seconds)
        except (av.error.FFmpegError, IndexError, ValueError) as error:
            read.errors += f"{error}; "
    read.errors += "; ".join(text for _, _, text in messages)
    read.silent, read.errors = not read.errors, read.errors[-500:]
    return read


def _decoded(packet: Any, read: Reference) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.FFmpegError as error:
        read.errors += f"{error}; "
        return []


def differences(found: Finding, read: dict[str, Reference]) -> list[str]:
    """Where a file that was accepted holds something else than ffmpeg finds in it."""
    faults = []
    if found.frames is not None:
        frames, span = read["v"].frames, read["v"].last - read["v"].first
        if found.frames != frames:
            faults.append(f"{found.frames} frames, ffmpeg: {frames}")
        elif abs(found.span - span) > SECONDS_OFF:
            faults.append(f"{found.span:.3f} s of pictures, ffmpeg: {span:.3f}")
    if found.seconds_of_sound is not None:
        low, high = sorted((read["a"].seconds, read["a"].end))
        if not low - SECONDS_OFF <= found.seconds_of_sound <= high + SECONDS_OFF:
            faults.append(
                f"{found.seconds_of_sound:.3f} s of sound, ffmpeg: {read['a'].seconds:.3f}, by "
                f"its times {read['a'].end:.3f}"
            )
    return faults


def _examine_apart(
    name: str, data: bytes, changes: str, dubbing: bool, folder: Path, pipe: Any
) -> None:
    """Run in a process of its own, which ends where it takes too much."""
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # Address space is not memory in use; twice the limit only keeps the machine from swapping.
    resource.setrlimit(resource.RLIMIT_AS, (virtual + 2 * BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 2))
    warnings.simplefilter("error")
    found = Finding(changes)
    with TemporaryDirectory(dir=folder) as own:
        path = Path(own, name)
        path.write_bytes(data)
        examine(path, found, dubbing=dubbing)
    pipe.send(found)


def examine_all(suffix: str, numbers: range, folder: Path) -> Iterator[Finding]:
    """Examine files side by side, each in a process forked from one that has all imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "mediapipe", "flows.methods.exemplar"])
    waiting = list(reversed(numbers))
    running: dict[int, tuple[Any, Any, float, str]] = {}
    while waiting or running:
        while waiting and len(running) < JOBS:
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
            found = result or Finding(label)
            if result is None or process.exitcode:
                name = signal.Signals(-process.exitcode).name if process.exitcode < 0 else "error"
                found.faults.append(f"its process ended by {name}")
            found.faults = [f"{label}: {fault}" for fault in found.faults]
            yield found


def summary(suffix: str, findings: list[Finding]) -> str:
    """One line of figures."""
    steps = Counter(step for found in findings for step in found.refused)
    return (
        f"{suffix}: {len(findings)} files, "
        f"{sum(found.frames is not None for found in findings)} scanned, "
        f"{sum(found.seconds_of_sound is not None for found in findings)} decoded, "
        f"refused: {dict(steps)}; ffmpeg reads {sum(found.strict for found in findings)} of these "
        f"without a word; {max(found.processor_seconds for found in findings):.1f} s, "
        f"{max(found.memory_bytes for found in findings) / 2**20:.0f} MiB at most"
    )


@pytest.mark.dub
def test_a_few_damaged_files(tmp_path: Path) -> None:
    findings = [each for suffix in SEEDS for each in examine_all(suffix, range(1, 4), tmp_path)]
    assert [fault for found in findings for fault in found.faults] == []
    assert any(found.refused for found in findings)
    assert any(found.frames == FRAMES for found in findings)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", SEEDS)
def test_damaged_files_are_refused_or_are_what_ffmpeg_says(suffix: str, tmp_path: Path) -> None:
    findings = list(examine_all(suffix, range(FILES), tmp_path))
    sys.stdout.write(summary(suffix, findings) + "\n")
    assert [fault for found in findings for fault in found.faults] == []
    assert max(found.memory_bytes for found in findings) < BYTES


if __name__ == "__main__":
    kept = Path(f"{sys.argv[2]}.{sys.argv[1]}").absolute()
    content, done = damaged_file(sys.argv[1], int(sys.argv[2]))
    kept.write_bytes(content)
    outcome = Finding(done)
    examine(kept, outcome, dubbing=False)
    sys.stdout.write(json.dumps(asdict(outcome), indent=2) + "\n")
