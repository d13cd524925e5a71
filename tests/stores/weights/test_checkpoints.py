"""Checkpoint files of every sort are read; whatever would run code, or is no checkpoint, is not."""

import io
import os
import pickle
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stores.errors import WeightsError
from stores.weights.checkpoints import detect_format, read_checkpoint, unnest

MARK = "was-run"


class Net(nn.Module):
    """Two levels, a BatchNorm, a shared weight and a buffer that is a view."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.twin = nn.Linear(4, 2)
        self.twin.weight = self.head.weight
        self.register_buffer("kernel", torch.arange(12.0).reshape(3, 4).T[1:])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.head(self.body(image).mean((2, 3)))
        return pooled


class Trap:
    """Unpickling it leaves a mark behind."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def trap(folder: Path) -> Trap:
    return Trap(os.system, f"touch {folder / MARK}")


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    net = Net()
    net.body[1].running_mean.uniform_()
    return net.state_dict()


def same(read: dict[str, Any], state: dict[str, torch.Tensor]) -> bool:
    return set(read) == set(state) and all(
        torch.equal(read[key], state[key]) and read[key].dtype == state[key].dtype for key in state
    )


def scripted(path: Path, *, trace: bool = False) -> dict[str, torch.Tensor]:
    """A TorchScript archive, and the weights in it."""
    torch.manual_seed(2)
    net = Net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 and later
        warnings.simplefilter("ignore", DeprecationWarning)
        made = torch.jit.trace(net, torch.zeros(1, 3, 8, 8)) if trace else torch.jit.script(net)
        made.save(str(path))
    return net.state_dict()


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files(tmp_path: Path, state: dict[str, torch.Tensor], zipped: bool) -> None:
    path = tmp_path / "a.pth"
    siblings = {
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": []},
        "global_step": np.float64(0.5),
        "args": Namespace(size=256, path="x"),
        "epoch": 3,
    }
    torch.save({"state_dict": state, **siblings}, path, _use_new_zipfile_serialization=zipped)
    assert detect_format(path) == ("torch" if zipped else "torch_legacy")
    assert same(unnest(read_checkpoint(path), under=["state_dict"]), state)


@pytest.mark.parametrize("trace", [True, False])
def test_torchscript_archives(tmp_path: Path, trace: bool) -> None:
    path = tmp_path / "a.pt"
    state = scripted(path, trace=trace)
    assert detect_format(path) == "torchscript"
    read = read_checkpoint(path)
    assert same(read, state)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_pickles(tmp_path: Path, state: dict[str, torch.Tensor], protocol: int) -> None:
    path = tmp_path / "a.pkl"
    arrays = {key: np.array(value.numpy(), order="F") for key, value in state.items()}
    with path.open("wb") as file:
        pickle.dump(arrays, file, protocol=protocol)
    assert detect_format(path) == "numpy_pickle"
    assert same(read_checkpoint(path), state)


def test_a_numpy_pickle_of_python_2(tmp_path: Path) -> None:
    # what Python 2 wrote for {"w": numpy.array([1, 2], ">f4")}: raw bytes as a str, not bytes
    data = (
        b"\x80\x02}q\x00U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03"
        b"K\x00\x85U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06"
        b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x3f\x80\x00\x00\x40\x00"
        b"\x00\x00tbs."
    )
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    assert read_checkpoint(path)["w"].tolist() == [1, 2]


def test_safetensors(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "a.safetensors"
    save_file({key: value.clone().contiguous() for key, value in state.items()}, path)
    assert same(read_checkpoint(path), state)


def test_unnesting(state: dict[str, torch.Tensor]) -> None:
    module = {f"module.{key}": value for key, value in state.items()}
    assert same(unnest(module, drop=["module"]), state)
    assert same(unnest({"g": {}, "ema": module}, under=["x", "ema"], drop=["module"]), state)
    assert same(unnest(state, under=["state_dict", "."]), state)
    more = {**state, "loss.0.weight": torch.zeros(1)}
    assert same(unnest(more, ignore=["loss."]), state)
    renamed = {key.replace("body.", "features."): value for key, value in state.items()}
    assert same(unnest(renamed, rename={"features.": "body."}), state)
    # only whole parts of a key are dropped
    assert list(unnest({"module.flow_module.w": torch.zeros(1)}, drop=["module"])) == [
        "flow_module.w"
    ]
    for content, rules, words in (
        (state, {"under": ["params"]}, "no 'params' in it; it has 'kernel'"),
        ({"a": 1}, {}, "'a' is a int, not a tensor"),
        ({"module.a": torch.zeros(1), "a": torch.zeros(1)}, {"drop": ["module"]}, "two keys"),
        ({}, {}, "no tensor"),
    ):
        with pytest.raises(ValueError, match=words):
            unnest(content, **rules)  # type: ignore[arg-type]


def malicious_zip(path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(2)}, "x": trap(path.parent)}, path)


def malicious_legacy(path: Path) -> None:
    torch.save({"w": trap(path.parent)}, path, _use_new_zipfile_serialization=False)


def malicious_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"w": np.zeros(2), "x": trap(path.parent)}, protocol=2))


def malicious_text_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(trap(path.parent), protocol=0))


def malicious_archive(path: Path) -> None:
    """A TorchScript archive whose data.pkl was put in place of the real one."""
    scripted(path.with_suffix(".good"))
    with zipfile.ZipFile(path.with_suffix(".good")) as good, zipfile.ZipFile(path, "w") as bad:
        for member in good.infolist():
            data = good.read(member)
            if member.filename.endswith("/data.pkl"):
                data = pickle.dumps(trap(path.parent), protocol=2)
            bad.writestr(member, data)


def malicious_builtin(path: Path) -> None:
    call = Trap(eval, f"open({str(path.parent / MARK)!r}, 'w')")
    path.write_bytes(pickle.dumps({"w": call}, protocol=4))


def malicious_numpy_object(path: Path) -> None:
    """Pickled Python objects inside of an array."""
    path.write_bytes(pickle.dumps({"w": np.array([trap(path.parent)], object)}, protocol=2))


def malicious_behind_an_allowed_name(path: Path) -> None:
    data = pickle.dumps(trap(path.parent), protocol=2)
    path.write_bytes(data.replace(b"cposix\nsystem\n", b"cnumpy.f2py.compile\nos.system\n"))


MALICIOUS = [
    *(malicious_zip, malicious_legacy, malicious_pickle, malicious_text_pickle),
    *(malicious_archive, malicious_builtin, malicious_numpy_object),
    malicious_behind_an_allowed_name,
]


@pytest.mark.parametrize("make", MALICIOUS)
def test_malicious_files_are_refused_and_nothing_is_run(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "evil.pth"
    make(path)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{path} is refused: to load it would call " in message
    assert "fetch the published file" in message
    named = ("posix.system", "builtins.eval", "numpy.f2py.compile.os.system", "numpy type")
    assert any(name in message for name in named), message
    assert not (tmp_path / MARK).exists()


def test_the_traps_work(tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    pickle.loads(pickle.dumps(trap(tmp_path)))
    assert (tmp_path / MARK).exists()


def test_a_cut_or_changed_file_is_damaged(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    whole, legacy, script = tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "c.pt"
    torch.save(state, whole)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    scripted(script)
    pickled, safe = tmp_path / "d.pkl", tmp_path / "e.safetensors"
    pickled.write_bytes(pickle.dumps({k: v.numpy() for k, v in state.items()}))
    save_file({"w": torch.zeros(50)}, safe)
    for path in (whole, legacy, script, pickled, safe):
        data = path.read_bytes()
        for part in (0.3, 0.9, 0.999):
            path.write_bytes(data[: int(len(data) * part)])
            with pytest.raises(WeightsError, match=r"damaged or broken off \(.*fetch it anew$"):
                read_checkpoint(path)
    torch.save(state, whole)
    data = bytearray(whole.read_bytes())
    place = data.find(state["head.bias"].numpy().tobytes())
    data[place] ^= 1
    whole.write_bytes(data)
    with pytest.raises(WeightsError, match=r"a checksum in .* does not fit"):
        read_checkpoint(whole)


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("demo/latest_net_G.pth", b"x")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50_000_000))
    tensor = io.BytesIO()
    torch.save(torch.zeros(2), tensor)
    for data, words in (
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Google Drive can't scan", "web page, not a checkpoint"),
        (b"\n <html><head>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"GIF89a....", "no checkpoint: it begins with b'GIF89a"),
        (packed.getvalue(), "zip of demo/latest_net_G.pth, not a checkpoint; .* unpack it"),
        (bomb.getvalue(), "unpacks to far more"),
        (tensor.getvalue(), "holds a Tensor, not a state dict"),
        (pickle.dumps([1, 2]), "holds a list"),
    ):
        path = tmp_path / "file.pth"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=words):
            read_checkpoint(path)
    with pytest.raises(WeightsError, match="can't be read: No such file"):
        read_checkpoint(tmp_path / "none.pth")


def test_an_archive_cannot_reach_beyond_its_tensors(tmp_path: Path) -> None:
    """Offsets, sizes and storage names in a pickle are the attacker's too."""
    path = tmp_path / "a.pt"
    scripted(path)
    for number in (b"X\x01\x00\x00\x000", b"X\x07\x00\x00\x00../../x"):
        # a persistent id whose storage has 4 bytes, of which a tensor of 1000 floats is asked
        data = (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
            b"FloatStorage\n" + number + b"X\x03\x00\x00\x00cpuK\x01tQK\x00M\xe8\x03\x85K\x01\x85"
            b"\x89ccollections\nOrderedDict\n)RtR."
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", data)
            archive.writestr("a/code/x.py", "")
            archive.writestr("a/data/0", bytes(4))
        with pytest.raises(WeightsError, match="damaged"):
            read_checkpoint(path)
