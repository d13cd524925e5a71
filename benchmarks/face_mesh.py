"""Make the three face networks that Dubflow ships, from the files of MediaPipe 0.10.21.

    pip download mediapipe==0.10.21 --no-deps --python-version 3.11 --only-binary :all:
    python -m benchmarks.face_mesh mediapipe-0.10.21-*.whl -o models/face_mesh

Writes the same bytes on every run and says their SHA-256, which
`tests/tasks/source/test_mesh_detector.py` knows. The two detectors are the wheel's files as they
are. The face mesh with attention has seven outputs: a score and six tensors of points, of which the
finer ones replace those of lips and eyes. The graph that put them together left MediaPipe after
0.10.21, so that is done here inside the network, by RESHAPE, GATHER, MEAN and CONCATENATION, and
what comes out is one tensor: 478 points (x, y, z) and the score. A network with one output is what
MediaPipe calls an image embedder, and that task gives it the whole picture, finds no face first,
and hands the numbers out as they are.
"""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import flatbuffers.flexbuffers
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as described
from mediapipe.tasks.metadata import schema_py_generated as schema
from numpy.typing import NDArray

from benchmarks.command import command_parser

MODELS = {
    "face_mesh": "face_landmark/face_landmark_with_attention",
    "face_detection_full_range_sparse": "face_detection/face_detection_full_range_sparse",
    "face_detection_short_range": "face_detection/face_detection_short_range",
}
_ALIGNMENT = 16
"""Of the weights in the file [byte]."""
_EYE_OPENING = 16
"""The first points of an eye's table; an iris is as deep as their mean."""

_Ints = NDArray[np.int32]
_TABLES = {
    schema.BuiltinOperator.RESHAPE: "Reshape",
    schema.BuiltinOperator.CONCATENATION: "Concatenation",
    schema.BuiltinOperator.GATHER: "Gather",
    schema.BuiltinOperator.MEAN: "Reducer",
}


class _Packer(flatbuffers.Builder):  # type: ignore[misc]
    """Aligns byte vectors, as the schema asks for buffers and flatbuffers' Python does not."""

    def CreateNumpyVector(self, x: NDArray[Any]) -> Any:
        if x.dtype != np.uint8:
            return super().CreateNumpyVector(x)
        self.StartVector(1, x.size, _ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        self.vectorNumElems = x.size
        return self.EndVector()


class Network:
    """A .tflite model that operations can be appended to."""

    def __init__(self, data: bytes) -> None:
        self.model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        (self.graph,) = self.model.subgraphs

    def constant(self, values: object) -> int:
        """A tensor of int32."""
        array = np.asarray(values, np.int32)
        return self._tensor(list(array.shape), array.tobytes(), schema.TensorType.INT32)

    def reshape(self, tensor: int, shape: list[int], name: str = "") -> int:
        new = np.array(shape, np.int32)
        inputs = [tensor, self.constant(new)]
        return self.append(schema.BuiltinOperator.RESHAPE, inputs, shape, name, newShape=new)

    def gather(self, tensor: int, places: _Ints) -> int:
        inputs = [tensor, self.constant(places)]
        gather = schema.BuiltinOperator.GATHER
        return self.append(gather, inputs, [places.size], axis=0, batchDims=0)

    def append(
        self, code: int, inputs: list[int], shape: list[int], name: str = "", **options: object
    ) -> int:
        """An operation; its options are those of the schema's table."""
        known = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in self.model.operatorCodes]
        if code not in known:
            new = schema.OperatorCodeT()
            new.builtinCode = new.deprecatedBuiltinCode = code
            new.version = 1
            self.model.operatorCodes.append(new)
            known.append(code)
        out = self._tensor(shape, b"", schema.TensorType.FLOAT32, name)
        operator = schema.OperatorT()
        operator.opcodeIndex = known.index(code)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([out], np.int32)
        if table := _TABLES.get(code):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{table}Options")
            operator.builtinOptions = getattr(schema, f"{table}OptionsT")()
            for option, value in options.items():
                setattr(operator.builtinOptions, option, value)
        self.graph.operators.append(operator)
        return out

    def give(self, tensor: int) -> bytes:
        """The file whose only output is this tensor."""
        self.graph.outputs = np.array([tensor], np.int32)
        (entry,) = (m for m in self.model.metadata if m.name == b"TFLITE_METADATA")
        buffer = self.model.buffers[entry.buffer]
        root = described.ModelMetadata.GetRootAs(bytes(buffer.data), 0)
        facts = described.ModelMetadataT.InitFromObj(root)
        (graph,) = facts.subgraphMetadata
        graph.outputTensorMetadata = graph.outputTensorMetadata[:1]
        packer = flatbuffers.Builder(1024)
        packer.Finish(facts.Pack(packer), b"M001")
        buffer.data = np.frombuffer(bytes(packer.Output()), np.uint8)
        packer = _Packer(1 << 20)
        packer.Finish(self.model.Pack(packer), b"TFL3")
        return bytes(packer.Output())

    def _tensor(self, shape: list[int], data: bytes, kind: int, name: str = "") -> int:
        buffer, tensor = schema.BufferT(), schema.TensorT()
        if data:
            buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), kind
        tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def put_together(data: bytes) -> bytes:
    """The face mesh with attention, its outputs as one tensor (1, 478 * 3 + 1).

    Points come in units of px of the 192 px input, the score in 0..1.
    """
    net = Network(data)
    outputs = {net.graph.tensors[i].name.decode(): int(i) for i in net.graph.outputs}
    mesh = net.reshape(outputs["output_mesh_identity"], [468 * 3])
    parts, end = [mesh], 468 * 3
    places = np.zeros((478, 3), np.int32)  # of each value in the parts put end to end
    places[:468] = np.arange(468 * 3).reshape(468, 3)
    replaced = _replaced_points(net)
    for part in ("lips", "left_eye", "right_eye"):
        table = replaced[part]
        places[table, :2] = end + np.arange(2 * table.size).reshape(-1, 2)
        parts.append(net.reshape(outputs[f"output_{part}"], [2 * table.size]))
        end += 2 * table.size
    for first, side in ((468, "left"), (473, "right")):
        depths = net.gather(mesh, 3 * replaced[f"{side}_eye"][:_EYE_OPENING] + 2)
        mean = schema.BuiltinOperator.MEAN
        depth = net.append(mean, [depths, net.constant([0])], [1], keepDims=True)
        parts += [net.reshape(outputs[f"output_{side}_iris"], [10]), depth]
        places[first : first + 5, :2] = end + np.arange(10).reshape(5, 2)
        places[first : first + 5, 2] = end + 10
        end += 11
    flag = net.reshape(outputs["conv_faceflag"], [1])
    parts.append(net.append(schema.BuiltinOperator.LOGISTIC, [flag], [1]))
    joined = net.append(schema.BuiltinOperator.CONCATENATION, parts, [end + 1], axis=0)
    order = np.append(places.reshape(-1), np.int32(end))
    return net.give(net.reshape(net.gather(joined, order), [1, order.size], "landmarks"))


def _replaced_points(net: Network) -> dict[str, _Ints]:
    """Which mesh points each finer part replaces, in its order: the network's own options say."""
    found = {}
    for operator in net.graph.operators:
        if net.model.operatorCodes[operator.opcodeIndex].customCode == b"Landmarks2TransformMatrix":
            options = flatbuffers.flexbuffers.Loads(bytes(operator.customOptions))
            table = np.array(options["subset_idxs"], np.int32)
            part = "lips" if 61 in table else "left_eye" if 33 in table else "right_eye"
            found[part] = table
    return found


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    chosen = parser.parse_args()
    with zipfile.ZipFile(chosen.wheel) as wheel:
        for name, member in MODELS.items():
            data = wheel.read(f"mediapipe/modules/{member}.tflite")
            if name == "face_mesh":
                data = put_together(data)
            (chosen.output / f"{name}.tflite").write_bytes(data)
            print(f"{hashlib.sha256(data).hexdigest()}  {len(data):>8}  {name}.tflite")


if __name__ == "__main__":
    main()
