"""How fast the networks are: `python -m benchmarks.networks [--device cpu] [NAME ...]`.

The first table has a row per network: samples and floating-point operations a second at its best
batch size, in the sizes that dubbing uses, beside the peak that a large matrix product reaches on
the same device in the same run. Counted are the operations of a convolution's definition: Winograd
kernels need fewer, so that shares above 100 % can be. The second table compares Wav2Lip through
the runner (faces read from a store, bytes in, bytes out) with the bare network. Weights are random:
they do not change the cost.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.command import command_parser, table
from models.published import NAMES, build
from models.wav2lip.speaker import Speaker
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.inference.device import choose_device
from tasks.inference.runner import Runner, channels_last
from tasks.methods.wav2lip import WAV2LIP_CROPS

FACE_96, FACE_256, FACE_512 = (6, 96, 96), (3, 256, 256), (3, 512, 512)
MEL = (1, 80, 16)

SAMPLES: dict[str, tuple[tuple[int, ...], ...]] = {
    "wav2lip_generator": (MEL, FACE_96),
    "wav2lip_disc_qual": ((3, 5, 96, 96),),
    "wav2lip_syncnet_color": (MEL, (15, 48, 96)),
    "syncnet_v2": ((1, 13, 20), (3, 5, 224, 224)),
    "ip_lap_landmark_generator": ((5, *MEL), (5, 2, 74), (15, 2, 74), (15, 2, 57)),
    "ip_lap_renderer": (
        *((1, 3, 128, 128), (5, 3, 128, 128), (25, 3, 128, 128), (25, 3, 128, 128)),
        (1, *MEL),
    ),
    "ip_lap_discriminator": ((3, 128, 128),),
    "vrt_dnet": (FACE_256, (73, 26)),
    "vrt_lnet": (MEL, FACE_96),
    "vrt_enet": (MEL, (6, 384, 384), (3, 384, 384)),
    "ganimation_generator": ((3, 128, 128), (17,)),
    "stylegan2_generator64": ((512,),),
    "stylegan2_discriminator64": ((3, 64, 64),),
    "gpen_bfr_512": (FACE_512,),
    "gfpgan_v1clean_512": (FACE_512,),
    "pcavs_audio_encoder": ((1, 80, 20),),
    "pcavs_generator": ((2560,), (512, 7, 7)),
    "pcavs_identity_encoder": ((3, 224, 224),),
    "pcavs_pose_encoder": ((3, 224, 224),),
    "s3fd": ((3, 480, 640),),
    "s3fd_syncnet": ((3, 480, 640),),
    "fan_2dfan4": (FACE_256,),
    "parsenet": (FACE_512,),
    "arcface_r50": ((3, 112, 112),),
    "arcface_r100": ((3, 112, 112),),
    "deep3d_recon_resnet50": ((3, 224, 224),),
    "audiodvp_atnet": ((7, 28, 12),),
    "audiodvp_expression": ((7, 256),),
    "audiodvp_nfr_generator": ((21, 256, 256),),
    "audiodvp_nfr_discriminator": ((24, 256, 256),),
    "audiodvp_resnet50_vggface2": ((3, 224, 224),),
    "lpips_alex": (FACE_256, FACE_256),
    "lpips_vgg": (FACE_256, FACE_256),
    "fid_inception_v3": ((3, 299, 299),),
}
"""Shapes of the inputs of one sample."""

BATCHES = {"cpu": (1, 4, 16), "cuda": (1, 8, 32, 128), "mps": (1, 8, 32)}
MIN_SECONDS = 1.0
SLOW_SECONDS = 2.0
"""Where a call takes longer, larger batches are not tried: the device is busy already."""


def waited(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_per_call(call: Callable[[], Any], device: torch.device) -> float:
    """Median over at least three calls and MIN_SECONDS, after one that is not counted."""
    call()
    waited(device)
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < MIN_SECONDS:
        start = time.perf_counter()
        call()
        waited(device)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def peak_flops(device: torch.device, numbers: torch.dtype = torch.float32) -> float:
    """Floating-point operations a second of a large matrix product."""
    size = 4096 if device.type == "cpu" else 8192
    a, b = (torch.rand(size, size, device=device).to(numbers) for _ in range(2))
    return 2 * size**3 / seconds_per_call(lambda: a @ b, device)


def inputs(name: str, batch: int, device: torch.device) -> list[Any]:
    """Random inputs of a network; StyleGAN2's generator takes its latents as a list."""
    tensors = [torch.rand(batch, *shape, device=device) for shape in SAMPLES[name]]
    return [tensors] if name == "stylegan2_generator64" else tensors


def best(network: nn.Module, name: str, device: torch.device) -> tuple[int, float]:
    """Batch size of the highest throughput, and samples a second at it."""
    found = (0, 0.0)
    for batch in BATCHES[device.type]:
        given = inputs(name, batch, device)
        seconds = seconds_per_call(partial(network, *given), device)
        if batch / seconds > found[1]:
            found = (batch, batch / seconds)
        if batch / seconds < found[1] or seconds > SLOW_SECONDS:
            break
    return found


def network_rows(names: list[str], device: torch.device, peak: float) -> Iterator[list[str]]:
    """One row per network."""
    for name in names:
        network = channels_last(build(name).eval().requires_grad_(False).to(device))
        counter = FlopCounterMode(display=False)
        with counter:
            network(*inputs(name, 1, device))
        flops = counter.get_total_flops()
        batch, rate = best(network, name, device)
        parameters = sum(p.numel() for p in network.parameters())
        size = [f"{parameters:,}", f"{flops / 1e9:.2f}", f"{batch}"]
        pace = [f"{rate:.1f}", f"{flops * rate / 1e9:.0f}", f"{flops * rate / peak:.0%}"]
        yield [name, *size, *pace]


@stage(WAV2LIP_CROPS, version=1)
def random_faces(count: int) -> Made:
    """Faces to read, as the method's own stage stores them."""
    faces = np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), np.uint8)
    faces = np.cumsum(faces // 64, axis=1, dtype=np.uint8)  # smooth, so that it compresses
    return Made(
        {"face": faces, "box": np.zeros((count, 4), np.int64), "valid": np.ones(count, bool)}
    )


def runner_rows(device: torch.device) -> Iterator[list[str]]:
    """Wav2Lip's generator bare and through the runner, side by side."""
    generator = build("wav2lip_generator").eval().requires_grad_(False).to(device)
    generator = channels_last(generator)
    batch, bare = best(generator, "wav2lip_generator", device)
    count = 512 if device.type == "cpu" else 16384
    settings = DeviceSettings(device=device.type)  # type: ignore[arg-type]
    runner = Runner(Speaker(build("wav2lip_generator")), settings)
    mel = np.random.default_rng(1).random((64, 80, 16), np.float32)

    def blocks(faces: Artifact, frames: int) -> Iterator[tuple[Any, ...]]:
        for start in range(0, frames, 64):
            yield mel, faces.read("face", start, start + 64)

    with tempfile.TemporaryDirectory() as folder, open_run(Store(Path(folder))):
        faces = random_faces(count)
        for _ in runner.map(blocks(faces, 64)):
            pass
        rates = []
        for _ in range(3):
            start = time.perf_counter()
            made = sum(len(part) for part in runner.map(blocks(faces, count)))
            rates.append(made / (time.perf_counter() - start))
    through = float(np.median(rates))
    yield ["bare, tensors in place", f"{batch}", f"{bare:.1f}", "100%"]
    name, share = f"runner, {count} faces from a store", f"{through / bare:.0%}"
    yield [name, f"{runner.batch}", f"{through:.1f}", share]


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks; default: all")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    with torch.inference_mode():
        peak = peak_flops(device)
        threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
        print(f"{device}{threads}: matrix product {peak / 1e9:.0f} GFLOP/s in float32")
        head = "network|parameters|GFLOP a sample|batch|samples/s|GFLOP/s|of peak"
        table(head.split("|"), network_rows(arguments.names or list(NAMES), device, peak))
        head = "Wav2Lip's generator|batch|frames/s|of the bare network"
        table(head.split("|"), runner_rows(device))


if __name__ == "__main__":
    main()
