"""Wav2Lip and SyncNet: networks, steps, metrics and features equal the published ones."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from models.audio.mel import mel_basis, mel_spectrogram
from models.audio.mfcc import mfcc
from models.syncnet.lse import (
    mfcc_windows,
    n_windows,
    shifted_distances,
    synchrony,
    window_starts,
)
from models.wav2lip.critic import critic_loss
from models.wav2lip.expert import sync_loss
from models.wav2lip.steps import (
    as_bytes,
    crop_face,
    network_faces,
    pad_boxes,
    paste_face,
    smooth_boxes,
    source_frames,
)
from tasks.methods.wav2lip import mel_windows
from tests.goldens.golden import RTOL, Golden, load, tensor


@contextmanager
def outputs_of(**modules: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What the modules return while the context is open, by name."""
    caught: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        caught[name] = output

    handles = [
        module.register_forward_hook(lambda _module, _inputs, out, name=name: keep(name, out))
        for name, module in modules.items()
    ]
    yield caught
    for handle in handles:
        handle.remove()


def compare_with_losses(
    golden: Golden, produced: dict[str, Tensor], losses: dict[str, Tensor]
) -> None:
    """All outputs; losses are scalars, which the stored arrays hold as one value."""
    assert {*produced, *losses} == set(golden.outputs)
    golden.compare(produced, all_outputs=False)
    for name, loss in losses.items():
        assert loss.ndim == 0
        stored = golden.outputs[name].shape
        golden.equal(name, loss.reshape(stored), golden.manifest["outputs"][name]["atol"], RTOL)


def test_golden_wav2lip_generator() -> None:
    golden = load("wav2lip_generator")
    network = golden.network()
    mel, faces = tensor(golden.inputs["mel"]), tensor(golden.inputs["faces"]) / 255
    with outputs_of(
        audio_embedding=network.audio_encoder,
        face_encoder_block3=network.face_encoder_blocks[3],
        face_embedding=network.face_encoder_blocks[-1],
    ) as inner:
        image = network(mel, faces)
    sequence = golden.manifest["outputs"]["image_5d"]["shape"]
    batch, times = sequence[0], sequence[2]
    sequences = network(
        mel[: batch * times].unflatten(0, (batch, times)),
        faces[: batch * times].unflatten(0, (batch, times)).transpose(1, 2),
    )
    golden.compare({"image": image, "image_5d": sequences[..., ::4, ::4], **inner})


def test_golden_wav2lip_steps() -> None:
    golden = load("wav2lip_steps")
    tolerance = golden.manifest["tolerance"]
    height, width = (int(side) for side in golden.inputs["frame_size_h_w"])
    frames, predictions = golden.inputs["frames"], golden.inputs["predictions_u8"]
    padded = pad_boxes(golden.inputs["detections"], (height, width))
    golden.equal("padded_boxes", padded)
    golden.equal("smoothed_boxes", smooth_boxes(padded))
    few = len(golden.outputs["smoothed_boxes_first3_only"])
    golden.equal("smoothed_boxes_first3_only", smooth_boxes(padded[:few]))

    boxes = smooth_boxes(padded)[: len(frames)]
    source = source_frames(len(predictions), len(frames))
    golden.equal("coordinates_y1_y2_x1_x2", boxes[source][:, [1, 3, 0, 2]])
    size = golden.outputs["batch_images_u8"].shape[1]
    crops = [crop_face(frames[i], boxes[i], size=size) for i in source]
    batch = network_faces(torch.from_numpy(np.stack(crops)))
    in_bytes = (batch * 255).round().permute(0, 2, 3, 1)
    golden.equal("batch_images_u8", in_bytes, **tolerance["batch"])
    assert torch.equal(batch, in_bytes.permute(0, 3, 1, 2) / 255)

    faces = as_bytes(tensor(predictions).permute(0, 3, 1, 2) / 255).numpy()
    count = len(golden.outputs["pasted_frames_first3"])
    pasted = [paste_face(frames[i], faces[i], boxes[i]) for i in source[:count]]
    golden.equal("pasted_frames_first3", np.stack(pasted), **tolerance["pasted"])


def test_golden_wav2lip_disc_qual() -> None:
    golden = load("wav2lip_disc_qual")
    network = golden.network()
    blocks = network.face_encoder_blocks
    with outputs_of(encoder_block4=blocks[4], encoder=blocks[-1]) as inner:
        probability = network(tensor(golden.inputs["faces"]) / 255)
    losses = {
        "perceptual_loss": critic_loss(probability, real=True),
        "fake_loss": critic_loss(probability, real=False),
    }
    compare_with_losses(golden, {"probability": probability, **inner}, losses)


def test_golden_wav2lip_syncnet_color() -> None:
    golden = load("wav2lip_syncnet_color")
    network = golden.network()
    with outputs_of(audio_raw=network.audio_encoder, face_raw=network.face_encoder) as inner:
        audio, face = network(tensor(golden.inputs["mel"]), tensor(golden.inputs["faces"]) / 255)
    produced = {
        "audio": audio,
        "face": face,
        "cosine": torch.nn.functional.cosine_similarity(audio, face),
        **{name: value.flatten(1) for name, value in inner.items()},
    }
    losses = {
        "loss_positive": sync_loss(audio, face, torch.ones(len(face))),
        "loss_negative": sync_loss(audio, face, torch.zeros(len(face))),
    }
    compare_with_losses(golden, produced, losses)


def test_golden_syncnet_v2() -> None:
    golden = load("syncnet_v2")
    network = golden.network(embedding=golden.manifest["constructor"]["num_layers_in_fc_layers"])
    frames, mfccs = tensor(golden.inputs["frames"]), tensor(golden.inputs["mfcc"])
    both_ways = torch.cat([frames, frames.flip(2)])
    with outputs_of(audio_cnn=network.netcnnaud) as inner:
        audio, lip = network(mfccs, both_ways)
    golden.compare(
        {
            "lip": lip,
            "audio": audio,
            "lip_feature": network.lip_features(both_ways),
            "audio_cnn": inner["audio_cnn"].flatten(1),
        }
    )
    clip = network.embed_clip(both_ways[0].transpose(0, 1))
    torch.testing.assert_close(
        clip, lip[:1], atol=golden.manifest["outputs"]["lip"]["atol"], rtol=RTOL
    )


def test_golden_lse() -> None:
    golden = load("lse")
    tolerance = golden.manifest["tolerance"]
    cases = [name.removeprefix("lip") for name in golden.inputs if name.startswith("lip")]
    for case in cases:
        lip, audio = tensor(golden.inputs[f"lip{case}"]), tensor(golden.inputs[f"audio{case}"])
        distances = shifted_distances(lip, audio, shift=int(golden.inputs[f"vshift{case}"]))
        found = synchrony(distances)
        golden.equal(f"distances{case}", distances, **tolerance)
        golden.equal(f"mean_distance{case}", found.mean_distance, **tolerance)
        golden.equal(f"offset{case}", found.offset)
        golden.equal(f"min_distance{case}", found.min_distance, **tolerance)
        golden.equal(f"confidence{case}", found.confidence, **tolerance)
        golden.equal(f"frame_confidence_median9_{case}", found.frame_confidence, **tolerance)
    assert len(golden.outputs) == 6 * len(cases)


def test_golden_mfcc_psf() -> None:
    golden = load("mfcc_psf")
    signals = set(golden.inputs) - {"frames"}
    for signal in signals:
        golden.equal(signal, mfcc(golden.inputs[signal]), **golden.manifest["tolerance"])
    sound = golden.inputs[min(signals)]
    windows = n_windows(int(golden.inputs["frames"]), len(sound))
    golden.equal("window_starts", window_starts(windows))
    cepstra = torch.from_numpy(mfcc(sound))
    first = window_starts(windows)[-1]
    assert torch.equal(mfcc_windows(cepstra, windows)[-1, 0], cepstra[first : first + 20].T)
    assert set(golden.outputs) == {*signals, "window_starts"}


def test_golden_wav2lip_mel() -> None:
    golden = load("wav2lip_mel")
    tolerance = golden.manifest["tolerance"]
    near = {"atol": tolerance["atol"], "rtol": tolerance["rtol"]}
    np.testing.assert_allclose(
        mel_basis(),
        golden.part("const")["mel_basis"],
        **{"rtol": 0, **tolerance["const_mel_basis"]},
    )
    seen = set()
    for signal, samples in golden.inputs.items():
        sound = samples.astype(np.float32) / 32768
        mel = mel_spectrogram(sound)
        assert mel.dtype == np.float32
        golden.equal(signal, mel.T, **near)
        reflected = mel_spectrogram(sound, ends="reflect").T
        ends = np.concatenate([reflected[:, :3], reflected[:, -3:]], axis=1)
        golden.equal(f"{signal}_reflect_first3_last3", ends, **near)
        seen |= {signal, f"{signal}_reflect_first3_last3"}
    numbered = np.repeat(np.arange(len(mel), dtype=np.float32)[:, None], 80, axis=1)
    for name, starts in golden.outputs.items():
        if found := re.fullmatch(r"chunk_starts_fps(\d+)(_\d+)?(_evaluation)?", name):
            fps = Fraction(found[1] + (found[2] or "").replace("_", "."))
            windows = mel_windows(numbered, np.arange(len(starts)), 1 / fps)
            golden.equal(name, windows[:, 0, 0])
            seen |= {name}
    # Nothing here works on the spectrogram before its bands.
    assert {name for name in golden.outputs if not name.startswith("linear")} == seen
