"""How fast VideoReTalking is on crops, beside its networks called as the public command does.

    python -m benchmarks.video_retalking [--frames 4] [--device cpu] [--precision float32 bfloat16]
        [--busy]

Both make the same frames of a 720p clip with the same filled weights in the published size, in one
run. Ours is the whole method with its published settings, and finding the face and pasting it back.
The public procedure goes frame by frame: S3FD on the whole frame, S3FD and FAN on the cut, twice,
Deep3D and D-Net, GPEN and ParseNet, E-Net in batches of 16, GFPGAN, ParseNet twice for the mouth,
both pyramids on the frame sent to 512 x 512 and back, and ParseNet for the frame's skin. It also
calls RetinaFace three times a frame, which is not built here: that is left out, in its favour.
Filled weights find nothing: where a step needs a place, it takes that of our landmarks, after its
networks have run. Not counted are loading of networks, decoding for the public procedure and
encoding for both. `--busy` is for a machine that has other work: one thread, and seconds of
processor in place of those of a clock.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import command_parser, table
from benchmarks.sources import speech
from flows.methods.video_retalking import METHOD, VideoRetalkingSettings
from flows.seen import see
from models.deep3d.alignment import align, five_points
from models.faces.settings import BlendSettings
from models.published import build
from models.restore.align import crop_face as restoration_crop
from models.restore.align import ffhq_affine, gpen_affine, paste_face, paste_mask
from models.video_retalking import alignment, steps
from models.video_retalking.finish import MOUTH, SKIN, gpen_mask
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.media.read import read_frames
from tasks.engine.device_settings import DeviceSettings, Precision
from tasks.engine.open_run import open_run
from tasks.engine.run import PROCESSORS
from tasks.engine.stage import Shard
from tasks.inference import shared
from tasks.inference.device import choose_device
from tasks.inference.runner import Runner
from tasks.methods.vrt_coefficients import face_numbers
from tasks.methods.vrt_render import vrt_crops
from tasks.methods.wav2lip import mel_windows
from tasks.result.composite import composed
from tasks.result.output_frames import lay_out, output_frames
from tasks.result.settings import SyncSettings
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tasks.speech.mel import mel
from tasks.speech.waveform import waveform
from tasks.weights.networks import find_weights, load_network
from tests.media_factory import make_video
from tests.published_weights import add_filled, write_registry

Picture = NDArray[np.uint8]

WEIGHTS = ("vrt_face3d", "vrt_dnet", "vrt_lnet", "vrt_enet", "gpen_bfr_512", "gfpgan_v1.3")
PARSER = "parsenet"
DETECTORS = ("s3fd", "fan_2dfan4")
"""Of the public procedure alone."""
BATCH = 16
SIZE = (512, 512)


class Clock:
    """Seconds by step.

    Args:
        now: Seconds of the thread that computes.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.seconds = now, Counter[str]()

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Adds what the block takes."""
        begun = self.now()
        yield
        self.seconds[step] += self.now() - begun


@dataclass(frozen=True)
class Given:
    """What the public procedure is told of the clip, as ours has found it.

    Attributes:
        frames: RGB.
        cut: x0, y0, x1, y1 of the cut [px].
        points: 68 landmarks of each frame in the cut.
        boxes: Of the crops [px].
        mel: Window of each frame.
    """

    frames: list[Picture]
    cut: list[int]
    points: NDArray[np.float64]
    boxes: NDArray[np.int64]
    mel: NDArray[np.float32]


class Public:
    """The public procedure on a device, with a clock that counts networks and all else."""

    def __init__(self, store: Store, device: torch.device, clock: Clock) -> None:
        self.device, self.clock = device, clock
        named = (*WEIGHTS, PARSER)
        self.networks = {
            name: load_network(find_weights(name, store=store), store=store, device=device)
            for name in named
            if name != "vrt_lnet"  # E-Net has it
        }
        for name in DETECTORS:
            self.networks[name] = build(name).eval().requires_grad_(False).to(device)

    def call(self, name: str, *inputs: Any, **options: Any) -> Any:
        """What a network says of arrays, back in memory."""
        with self.clock.of(name), torch.no_grad():
            tensors = [torch.from_numpy(np.float32(each)).to(self.device) for each in inputs]
            return _back(self.networks[name](*tensors, **options))

    def run(self, given: Given) -> list[Picture]:
        """The frames with new mouths."""
        frozen = self.frozen(given)
        references = [self.reference(given, row, face) for row, face in enumerate(frozen)]
        faces = []
        for start in range(0, len(references), BATCH):
            rows = range(start, min(start + BATCH, len(references)))
            faces += self.spoken(given, references, rows)
        return [self.finished(given, row, face) for row, face in enumerate(faces)]

    def frozen(self, given: Given) -> list[Picture]:
        """Cuts with a frozen expression."""
        cuts, numbers = [], []
        x0, y0, x1, y1 = given.cut
        for frame, points in zip(given.frames, given.points, strict=True):
            cuts.append(np.asarray(cv2.resize(frame[y0:y1, x0:x1], (256, 256)), np.uint8))
            self.landmarks(cuts[-1])
            up = np.stack([points[:, 0], 255 - points[:, 1]], 1)
            found = align(cuts[-1], up)
            said = self.call("vrt_face3d", _batch(found.image) / 255)
            numbers.append(np.append(said, found.transform))
        coefficients = np.array(numbers)
        coefficients[:, steps.EXPRESSION] = 0
        windows = steps.coefficient_windows(coefficients, np.arange(len(cuts)))
        made = []
        for cut, window in zip(cuts, windows, strict=True):
            image = self.call("vrt_dnet", _batch(cut) / 127.5 - 1, window[None])["fake_image"]
            made.append(_picture(image[0] * 0.5 + 0.5))
        return made

    def landmarks(self, cut: Picture) -> None:
        """What face-alignment calls."""
        self.call("s3fd", _batch(cut))
        self.call("fan_2dfan4", _batch(cut) / 255)

    def reference(self, given: Given, row: int, face: Picture) -> Picture:
        """The frame with its frozen face, made sharp."""
        points, (x0, y0, x1, y1) = given.points[row], given.cut
        affine = gpen_affine(five_points(points))
        image = self.call("gpen_bfr_512", _batch(restoration_crop(face, affine)) / 127.5 - 1)[0]
        sharp = _picture(image[0] * 0.5 + 0.5)
        sharp = paste_face(face, sharp, affine, gpen_mask(self.parsed(sharp), zoom=2.0))
        self.landmarks(sharp)
        quad = alignment.face_quads(points)
        upright = alignment.crop_face(sharp, quad)
        frame = given.frames[row].copy()
        cut = np.asarray(cv2.resize(frame[y0:y1, x0:x1], (256, 256)), np.uint8)
        whole = alignment.paste_face(cut, upright, alignment.face_coefficients(quad))
        frame[y0:y1, x0:x1] = cv2.resize(whole, (x1 - x0, y1 - y0))
        return frame

    def spoken(self, given: Given, references: list[Picture], rows: range) -> list[Picture]:
        """Faces of 384 px with new lips, of a batch of frames."""

        def crops(frames: list[Picture]) -> NDArray[np.float32]:
            found = []
            for row in rows:
                x0, y0, x1, y1 = given.boxes[row]
                found.append(_batch(cv2.resize(frames[row][y0:y1, x0:x1, ::-1], (384, 384))) / 255)
            return np.concatenate(found)

        for row in rows:
            self.call("s3fd", _batch(given.frames[row]))
        own, shown = crops(given.frames), crops(references)
        own[:, :, 192:] = 0
        made, _ = self.call("vrt_enet", given.mel[list(rows)], np.hstack([own, shown]), shown)
        return [_picture(each)[..., ::-1] for each in made]

    def finished(self, given: Given, row: int, face: Picture) -> Picture:
        """The frame with its new mouth, teeth made sharp, blended in."""
        frame, (x0, y0, x1, y1) = given.frames[row], given.boxes[row]
        box = np.s_[y0:y1, x0:x1]
        pasted = frame.copy()
        pasted[box] = cv2.resize(face, (x1 - x0, y1 - y0))
        height, width = frame.shape[:2]
        lies = np.array(given.cut[:2]), np.array(given.cut[2:])
        points = given.points[row] / 256 * (lies[1] - lies[0]) + lies[0]
        affine = ffhq_affine(five_points(points))
        crop = _batch(restoration_crop(pasted, affine)) / 127.5 - 1
        image = self.call("gfpgan_v1.3", crop, return_rgb=False)[0]
        sharp = _picture(image[0] * 0.5 + 0.5)
        sharp = paste_face(pasted, sharp, affine, paste_mask(self.parsed(sharp)))
        mouth = np.zeros((height, width), np.float32)
        seen = np.asarray(cv2.resize(sharp[box], SIZE), np.uint8)
        mouth[box] = cv2.resize(_among(self.parsed(seen), MOUTH), (x1 - x0, y1 - y0))
        pasted = _pyramid(sharp, pasted, mouth, levels=10)
        skin = np.zeros((height, width), np.float32)
        labels = _among(self.parsed(restoration_crop(pasted, affine)), SKIN)
        back = cv2.invertAffineTransform(affine)
        skin[y0 : y1 - 5, x0:x1] = cv2.warpAffine(labels, back, (width, height))[y0 : y1 - 5, x0:x1]
        return _pyramid(pasted, frame, np.asarray(cv2.GaussianBlur(skin, (0, 0), 1)), levels=6)

    def parsed(self, face: Picture) -> Picture:
        """ParseNet's labels of a face of 512 px."""
        labels = self.call(PARSER, _batch(face) / 127.5 - 1)[0][0].argmax(0)
        return np.asarray(labels, np.uint8)


def _back(said: Any) -> Any:
    if isinstance(said, torch.Tensor):
        return said.cpu().numpy()
    if isinstance(said, dict):
        return {name: _back(each) for name, each in said.items()}
    return [_back(each) for each in said] if isinstance(said, list | tuple) else said


def _batch(picture: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.asarray(picture, np.float32).transpose(2, 0, 1)[None])


def _picture(image: NDArray[np.float32]) -> Picture:
    return np.asarray((image.transpose(1, 2, 0).clip(0, 1) * 255), np.uint8)


def _among(labels: Picture, wanted: tuple[int, ...]) -> NDArray[np.float32]:
    return np.isin(labels, wanted).astype(np.float32)


def _pyramid(inside: Picture, outside: Picture, mask: Any, *, levels: int) -> Picture:
    """Blended at 512 x 512, as published."""
    small = [cv2.resize(each, SIZE) for each in (inside, outside, mask)]
    found = steps.laplacian_blend(*small, levels=levels).clip(0, 255)  # type: ignore[arg-type]
    return np.asarray(cv2.resize(found, outside.shape[1::-1]), np.uint8)


@contextmanager
def network_clock(clock: Clock, precision: Precision) -> Iterator[None]:
    """While open, the clock counts what our networks take by stage, and their loading.

    The precision is kept without being judged: that costs 16 frames, whatever the clip's length.
    """
    make, forward, names = shared.shared_runner, Runner._forward, dict[int, str]()
    settled = shared.settled_once

    def timed_runner(key: Any, maker: Callable[[], Runner]) -> Runner:
        with clock.of("loading"):
            runner = make(key, maker)
        names[id(runner)] = key[0]
        return runner

    def timed_forward(self: Runner, part: Any, *, exactly: bool) -> torch.Tensor:
        with clock.of(names[id(self)]):
            made = forward(self, part, exactly=exactly)
            if made.is_pinned():
                torch.cuda.synchronize()
            return made

    shared.shared_runner, Runner._forward = timed_runner, timed_forward  # type: ignore[method-assign]
    shared.settled_once = lambda question, answer: precision
    yield
    shared.shared_runner, Runner._forward = make, forward  # type: ignore[method-assign]
    shared.settled_once = settled


@dataclass(frozen=True)
class Ours:
    """What our method did.

    Attributes:
        seconds: From the file to its composed frames.
        seen: The clip.
        speech: Its waveform.
        frames: Output frames.
        settings: Of the method.
    """

    seconds: float
    seen: Seen
    speech: Artifact
    frames: Artifact
    settings: VideoRetalkingSettings

    @classmethod
    def of(
        cls, video: Path, sound: Path, precision: Precision, *, now: Callable[[], float]
    ) -> Self:
        """Dub in the active run."""
        begun = now()
        seen, new = see(Source.of(video)), waveform(Source.of(sound))
        showing, _ = lay_out(seen.timeline, float(new.attributes["seconds"]), SyncSettings())
        frames = output_frames(seen.timeline, showing=showing)
        settings = VideoRetalkingSettings.model_validate(
            {"weights": {"expression": "none"}, "precision": precision}
        )
        render = METHOD.run(seen, new, frames, settings)
        clip, rows = load_timeline(seen.timeline), render.sizes["frame"]
        decoded = read_frames(video, clip, 0, rows)
        for _ in composed(decoded, render, Shard(0, 0, rows), BlendSettings()):
            pass
        return cls(now() - begun, seen, new, frames, settings)

    def given(self) -> Given:
        """What the public procedure is told."""
        cut, _ = face_numbers(self.seen, driver="network")
        clip = load_timeline(self.seen.timeline)
        windows = mel_windows(mel(self.speech).read("mel"), self.frames.read("pts"), clip.time_base)
        decoded = read_frames(self.seen.video.path, clip, 0, len(windows))
        return Given(
            [frame.rgb().copy() for frame in decoded],
            cut.read("box")[0].tolist(),
            cut.read("landmarks").astype(np.float64) - 0.5,
            vrt_crops(self.seen, settings=self.settings.crops).read("box"),
            windows[:, None],
        )


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", nargs="+", default=["float32"], help="of ours")
    parser.add_argument("--busy", action="store_true", help="one thread, seconds of processor")
    chosen = parser.parse_args()
    now = of_thread = time.perf_counter
    if chosen.busy:
        now, of_thread = time.process_time, time.thread_time
        os.environ[PROCESSORS] = "1"
        torch.set_num_threads(1)
    taken: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="dubflow-bench-") as name:
        folder, named = Path(name), (*WEIGHTS, PARSER)
        os.environ["DUBFLOW_WEIGHTS"] = str(write_registry(folder / "own.yaml", *named))
        store, sound = Store(folder / "store"), speech(folder / "speech.wav", seconds=2)
        for each in named:
            add_filled(store, each, folder)
        devices = DeviceSettings(device=chosen.device, batch=min(BATCH, chosen.frames))
        for number, precision in enumerate(chosen.precision):
            path, crf = folder / f"{precision}.mp4", str(18 + number)  # files that differ
            size = (1280, 720)
            make_video(path, frames=chosen.frames, size=size, real_faces=True, options={"crf": crf})
            clock = Clock(of_thread)
            with open_run(store, devices=devices), network_clock(clock, precision):
                made = Ours.of(path, sound, precision, now=now)
                given = made.given()
            taken[f"ours, {precision}"] = made.seconds - clock.seconds.pop("loading")
            report(*list(taken.items())[-1], clock, chosen.frames)
        shared._kept.clear()
        public = Public(store, choose_device(chosen.device), Clock(of_thread))
        begun = now()
        public.run(given)
        theirs = now() - begun
    report("public procedure", theirs, public.clock, chosen.frames)
    ratios = [[name, f"{theirs / seconds:.2f}"] for name, seconds in taken.items()]
    table(["frames/s against the public procedure", "ratio"], ratios)


def report(title: str, seconds: float, clock: Clock, frames: int) -> None:
    """A row a network, what remains, and all; in networks and frames a second above."""
    print(f"\n{title}: {frames / seconds:.4f} frames/s, ", end="")
    print(f"{clock.seconds.total() / seconds:.0%} in networks")
    rest = Counter({"all else": seconds - clock.seconds.total()})
    rows = (
        [name, f"{of_name / frames:.2f}", f"{of_name / seconds:.0%}"]
        for name, of_name in [*clock.seconds.most_common(), *rest.items()]
    )
    table([title, "s/frame", "share"], rows)


if __name__ == "__main__":
    main()
