"""Published files, in every nesting, into the store and into networks; all others are refused."""

import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from models.published import build
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, MissingWeights, SettingsError, WeightsError
from stores.weights.registry import FILE, WeightsEntry, read_registry
from tasks.engine.run import Run
from tasks.weights.intake import add_weights
from tasks.weights.networks import find_weights, licence_notes, licences, load_network

State = Mapping[str, Tensor]


class Inner(nn.Module):
    """Stands for L-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)


class Outer(nn.Module):
    """Stands for E-Net: has an L-Net, a constant, a BatchNorm, a statistic and a shared weight."""

    def __init__(self) -> None:
        super().__init__()
        self.low_res = Inner()
        self.flow_module = nn.BatchNorm2d(4)
        self.head, self.twin = nn.Linear(2, 2), nn.Linear(2, 2)
        self.twin.weight = self.head.weight
        self.register_buffer("kernel", torch.tensor([1.0, 3.0, 3.0, 1.0]))
        self.register_buffer("offset", torch.tensor([5.0]), persistent=False)
        self.register_buffer("spread", torch.ones(2))


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds an entry to a registry of the test's own: a shipped one's rules, a small network."""
    path = tmp_path / "own.yaml"
    entries: dict[str, Any] = {}

    def add(name: str, like: str, **change: object) -> None:
        entry: WeightsEntry = read_registry()[like] if like in SHIPPED else SHIPPED["wav2lip"]
        fields = entry.model_dump(mode="json", exclude_defaults=True)
        for field in ("sha256", "sha256_prefix", "size", "arguments"):
            fields.pop(field, None)
        if fields.get("address", "").startswith("http:"):
            fields.pop("address")
        entries[name] = fields | {"network": "audiodvp_expression"} | change
        path.write_text(yaml.safe_dump({"weights": entries}))
        monkeypatch.setenv("DUBFLOW_WEIGHTS", str(path))

    return add


SHIPPED = read_registry()


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"inner": Inner, "outer": Outer}
    monkeypatch.setattr(
        "models.published.build",
        lambda name, **changes: made[name]() if name in made else build(name, **changes),
    )


def filled(network: nn.Module) -> dict[str, Tensor]:
    """Its state dict with values of our own."""
    draw = torch.Generator().manual_seed(3)
    return {
        key: torch.rand(value.shape, generator=draw) + 0.1
        if value.is_floating_point()
        else torch.full_like(value, 7)
        for key, value in network.state_dict().items()
    }


def holds(network: nn.Module, state: State) -> bool:
    own = network.state_dict()
    return all(torch.equal(own[key], value) for key, value in state.items())


def module(state: State) -> dict[str, Tensor]:
    return {f"module.{key}": value for key, value in state.items()}


def optimizer() -> dict[str, Any]:
    return {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}


CLASSIFIER = {"fc.weight": torch.zeros(3, 3)}

NESTINGS: dict[str, Callable[[State], Any]] = {
    # Wav2Lip: DataParallel and the training's state beside it
    "wav2lip_gan": lambda s: {
        "state_dict": module(s),
        "optimizer": optimizer(),
        "global_step": 1,
        "global_epoch": np.int64(2),
    },
    "wav2lip_disc_qual": lambda s: {"state_dict": module(s), "optimizer": None},
    # IP-LAP: `module.` only sometimes
    "ip_lap_landmark_generator": lambda s: {"state_dict": dict(s), "global_step": 1},
    "ip_lap_renderer": lambda s: {"state_dict": module(s)},
    # VideoReTalking
    "vrt_dnet": lambda s: {"net_G_ema": dict(s), "net_G": {}, "opt_G": optimizer()},
    "vrt_lnet": lambda s: {"state_dict": module({**s, "low_res.a": torch.zeros(1)})},
    "vrt_face3d": lambda s: {"net_recon": dict(s), "opt_00": optimizer(), "sched_00": {"x": 1}},
    "vrt_ganimation": dict,
    # GFPGAN
    "gfpgan_v1.4": lambda s: {"params_ema": dict(s), "params": {}},
    "gfpgan_v1.3": lambda s: {"params": dict(s)},
    # rosinality's StyleGAN2
    "stylegan2_ffhq_256": lambda s: {"g": {}, "d": {}, "g_ema": dict(s), "g_optim": optimizer()},
    "stylegan2_ffhq_256_d": lambda s: {"g_ema": {}, "d": dict(s)},
    # flat, and flat with `module.`
    "syncnet_v2": dict,
    "audiodvp_atnet": module,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("like", NESTINGS)
def test_every_nesting(
    store: Store,
    tmp_path: Path,
    register: Callable[..., None],
    like: str,
    zipped: bool,
) -> None:
    register("entry", like)
    state = filled(build("audiodvp_expression"))
    path = tmp_path / "file.pth"
    torch.save(NESTINGS[like](state), path, _use_new_zipfile_serialization=zipped)
    add_weights(store, "entry", path)
    path.unlink()
    network = load_network("entry", store=store)
    assert holds(network, state)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


class Scripted(torch.nn.Module):
    """Holds a network's layers: scripting does not understand annotated axes."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


def test_torchscript_archives(store: Store, tmp_path: Path, register: Any) -> None:
    network = build("audiodvp_expression").eval()
    scripted = Scripted()
    for name, child in network.named_children():
        scripted.add_module(name, child)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 and later
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(scripted).save(str(tmp_path / "a.pt"))
    register("wav2lip_sd_gan", "wav2lip_sd_gan")
    add_weights(store, "wav2lip_sd_gan", tmp_path / "a.pt")
    assert holds(load_network("wav2lip_sd_gan", store=store), network.state_dict())


@pytest.mark.usefixtures("small_networks")
def test_numpy_pickles(store: Store, tmp_path: Path, register: Any) -> None:
    """As VGGFace2's: a classifier that nobody wants, and no counters of batches."""
    register("vggface2", "audiodvp_resnet50_vggface2", network="outer")
    state = filled(Outer())
    state["twin.weight"] = state["head.weight"]
    del state["flow_module.num_batches_tracked"]
    arrays = {key: value.numpy() for key, value in {**state, **CLASSIFIER}.items()}
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    add_weights(store, "vggface2", tmp_path / "b.pkl")
    assert holds(load_network("vggface2", store=store), state)


def test_lpips_is_a_trunk_of_other_names(store: Store, tmp_path: Path, register: Any) -> None:
    """Renamed, the classifier left out; the linear layers stay those that the network brings."""
    register("lpips", "lpips_alex", network="lpips_alex")
    names = {new: old for old, new in SHIPPED["lpips_alex"].nesting.rename.items()}
    trunk = {}
    for key, value in filled(build("lpips_alex")).items():
        start = key.rpartition(".")[0] + "."
        if start in names:
            trunk[names[start] + key.removeprefix(start)] = value
    assert len(trunk) == 10
    path = tmp_path / "alexnet.pth"
    torch.save({**trunk, "classifier.1.weight": torch.zeros(2, 2)}, path)
    add_weights(store, "lpips", path)
    own, fresh = load_network("lpips", store=store).state_dict(), build("lpips_alex").state_dict()
    assert torch.equal(own["net.slice2.3.weight"], trunk["features.3.weight"])
    for key in ("lin2.model.1.weight", "lins.2.model.1.weight", "scaling_layer.shift"):
        assert torch.equal(own[key], fresh[key])


@pytest.mark.usefixtures("small_networks")
def test_a_network_in_two_files(store: Store, tmp_path: Path, register: Any) -> None:
    """As E-Net, whose `low_res.` part is the L-Net of another file."""
    register("lnet", "vrt_lnet", network="inner")
    completed = [{"entry": "lnet", "prefix": "low_res."}]
    register("enet", "vrt_enet", network="outer", completed_by=completed)
    inner, outer = filled(Inner()), filled(Outer())
    outer["twin.weight"] = outer["head.weight"]
    for name, state in (("lnet", inner), ("enet", outer)):
        torch.save({"state_dict": module(state)}, tmp_path / name)
    with pytest.raises(MissingWeights, match=r"enet is completed by the weights lnet.*pull lnet"):
        add_weights(store, "enet", tmp_path / "enet")
    add_weights(store, "lnet", tmp_path / "lnet")
    weights = add_weights(store, "enet", tmp_path / "enet")
    network = load_network(weights)
    low_res = {f"low_res.{key}": value for key, value in inner.items()}
    assert holds(network, outer | low_res)
    assert [each.entry for each in licences([weights])] == ["enet", "lnet"]


@pytest.mark.usefixtures("small_networks")
def test_what_a_file_may_lack(store: Store, tmp_path: Path, register: Any) -> None:
    """Constants and counters, for the network has them; one of two names; nothing learnt."""
    register("outer", "syncnet_v2", network="outer")
    state = filled(Outer())
    state["twin.weight"] = state["head.weight"]
    may_lack = ("kernel", "flow_module.num_batches_tracked", "twin.weight")
    path = tmp_path / "a.pth"
    torch.save({k: v for k, v in state.items() if k not in may_lack}, path)
    network = load_network(add_weights(store, "outer", path))
    assert isinstance(network, Outer)
    assert network.kernel.tolist() == [1, 3, 3, 1]
    assert network.offset.tolist() == [5]
    assert network.twin.weight is network.head.weight
    assert holds(network, {k: v for k, v in state.items() if k not in may_lack[:2]})
    for missing in ("flow_module.running_mean", "head.bias", "low_res.conv.weight", "spread"):
        torch.save({k: v for k, v in state.items() if k != missing}, path)
        with pytest.raises(WeightsError, match=f"does not fit the network outer: lacks {missing};"):
            add_weights(store, "outer", path, replace=True)


def test_keys_and_shapes_are_strict(store: Store, tmp_path: Path, register: Any) -> None:
    register("entry", "syncnet_v2")
    state = filled(build("audiodvp_expression"))
    path = tmp_path / "a.pth"
    for change, words in (
        ({f"extra{n}": torch.zeros(1) for n in range(5)}, "unknown extra0, extra1, extra2 and 2 m"),
        ({"fc.bias": torch.zeros(3)}, r"fc.bias is float32 \(3,\), not float32 \(64,\)"),
        ({"fc.bias": torch.zeros(64, dtype=torch.int64)}, r"fc.bias is int64 \(64,\), not float32"),
    ):
        torch.save({**state, **change}, path)
        with pytest.raises(WeightsError, match=words):
            add_weights(store, "entry", path)
    torch.save({"state_dict": state}, path)
    with pytest.raises(WeightsError, match=r"not nested as syncnet_v2\.model: 'state_dict' is a"):
        add_weights(store, "entry", path)
    assert list(store.committed()) == []
    with pytest.raises(MissingWeights):
        find_weights("entry", store=store)


def test_half_precision_weights_fill_a_float_network(
    store: Store, tmp_path: Path, register: Any
) -> None:
    register("entry", "syncnet_v2")
    state = {key: value.half() for key, value in filled(build("audiodvp_expression")).items()}
    torch.save(state, tmp_path / "a.pth")
    network = load_network(add_weights(store, "entry", tmp_path / "a.pth"))
    assert holds(network, {key: value.float() for key, value in state.items()})


def test_another_file_needs_a_word(store: Store, tmp_path: Path, register: Any) -> None:
    register("entry", "syncnet_v2")
    state = filled(build("audiodvp_expression"))
    first, second = tmp_path / "1.pth", tmp_path / "2.pth"
    torch.save(state, first)
    torch.save({key: value + 1 for key, value in state.items()}, second)
    weights = add_weights(store, "entry", first)
    assert add_weights(store, "entry", first).key == weights.key
    with pytest.raises(WeightsError, match="not the file that entry was first used with"):
        add_weights(store, "entry", second)
    assert find_weights("entry", store=store).key == weights.key
    store.remove(weights.kind, weights.key)  # the record stays, and binds
    with pytest.raises(WeightsError, match="first used with"):
        add_weights(store, "entry", second)
    replaced = add_weights(store, "entry", second, replace=True)
    assert replaced.key != weights.key
    assert find_weights("entry", store=store).key == replaced.key
    with pytest.raises(WeightsError, match="first used with"):
        add_weights(store, "entry", first)


def test_missing_weights_say_where_and_how(store: Store, register: Any) -> None:
    with pytest.raises(MissingWeights) as caught:
        find_weights("wav2lip_gan", store=store)
    message = str(caught.value)
    assert "\n" not in message
    assert message == (
        "the weights wav2lip_gan are missing: get wav2lip_gan.pth from "
        f"{SHIPPED['wav2lip_gan'].page} and run `dubflow weights add wav2lip_gan wav2lip_gan.pth` "
        "(or Wav2Lip-SD-GAN.pt as wav2lip_sd_gan)"
    )
    with pytest.raises(MissingWeights, match=r"run `dubflow weights pull gfpgan_v1\.4` \(GFPGAN"):
        load_network("gfpgan_v1.4", store=store)
    with pytest.raises(SettingsError, match="no weights are called"):
        find_weights("wav2lop", store=store)


def test_another_format_stands_in(store: Store, tmp_path: Path, register: Any) -> None:
    register("wav2lip_gan", "wav2lip_gan")
    register("wav2lip_sd_gan", "wav2lip_sd_gan")
    state = filled(build("audiodvp_expression"))
    torch.save(state, tmp_path / "flat.pth")
    stand_in = add_weights(store, "wav2lip_sd_gan", tmp_path / "flat.pth")
    assert find_weights("wav2lip_gan", store=store).key == stand_in.key
    torch.save({"state_dict": state}, tmp_path / "nested.pth")
    own = add_weights(store, "wav2lip_gan", tmp_path / "nested.pth")
    assert own.key != stand_in.key
    assert find_weights("wav2lip_gan", store=store).key == own.key


def test_the_active_run_has_the_store(run: Run, tmp_path: Path, register: Any) -> None:
    register("entry", "syncnet_v2")
    torch.save(filled(build("audiodvp_expression")), tmp_path / "a.pth")
    weights = add_weights(run.store, "entry", tmp_path / "a.pth")
    assert find_weights("entry").key == weights.key
    drawn = torch.get_rng_state()
    assert holds(load_network(weights.key), load_network("entry").state_dict())
    assert torch.equal(drawn, torch.get_rng_state())  # loading draws nothing from the run's dice


def test_damage_is_never_loaded(store: Store, tmp_path: Path, register: Any) -> None:
    register("entry", "syncnet_v2")
    torch.save(filled(build("audiodvp_expression")), tmp_path / "a.pth")
    weights = add_weights(store, "entry", tmp_path / "a.pth")
    path = weights.file(FILE)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DamagedArtifact):
        find_weights("entry", store=store)
    add_weights(store, "entry", tmp_path / "a.pth")  # and makes it whole again
    assert find_weights("entry", store=store).damage() == []


def test_licences_reach_the_report(store: Store, tmp_path: Path, register: Any) -> None:
    torch.save(filled(build("audiodvp_expression")), tmp_path / "a.pth")
    found = []
    for name, commercial in (("research", False), ("free", True), ("unknown", None)):
        register(name, "syncnet_v2", commercial=commercial, licence=f"{name} licence")
        found += licences([add_weights(store, name, tmp_path / "a.pth")])
    assert [each.commercial for each in found] == [False, True, None]
    assert licence_notes(found) == [
        "made with non-commercial weights: research (research licence)",
        "made with weights of unclear licence: unknown (unknown licence)",
    ]
    assert licence_notes([]) == []
