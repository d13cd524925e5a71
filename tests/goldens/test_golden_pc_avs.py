"""PC-AVS against its goldens."""

from torch import Tensor, nn

from models.pc_avs.generator import Generator
from models.pc_avs.pose_encoder import PoseEncoder
from tests.goldens.golden import Golden, load, tensor


def test_golden_pcavs_audio_encoder() -> None:
    golden = load("pcavs_audio_encoder")
    golden.compare({"feature": golden.network()(tensor(golden.inputs["mel"]))})


def test_golden_pcavs_generator() -> None:
    golden = load("pcavs_generator")
    network = golden.network()
    assert isinstance(network, Generator)
    modulations: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module) -> None:
        layer.register_forward_hook(
            lambda _, __, out: modulations.update({name: out[:, None, :, None, None]})
        )

    layers = [network.to_rgb1, *network.to_rgbs]
    for level in range(sum(name.startswith("rgb") for name in golden.outputs)):
        keep(f"rgb{level}", layers[level].get_submodule("conv.modulation"))
    style, identity_map = (tensor(golden.inputs[name]) for name in ("style", "identity"))
    image = network(style, identity_map, randomize_noise=False)
    from_constant = network(style, randomize_noise=False)
    golden.compare({"image": image, "image_from_constant": from_constant, **modulations})


def test_golden_pcavs_identity_encoder() -> None:
    golden = load("pcavs_identity_encoder")
    identity, identity_map, scores = golden.network()(_image(golden))
    golden.compare({"identity": identity, "feature_map": identity_map, "scores": scores})


def test_golden_pcavs_pose_encoder() -> None:
    golden = load("pcavs_pose_encoder")
    network = golden.network()
    assert isinstance(network, PoseEncoder)
    feature = network(_image(golden))
    mouth, headpose = network.to_mouth(feature), network.to_headpose(feature)
    merged = network.merge(mouth, headpose)
    split = golden.manifest["outputs"]["mouth_embed"]["shape"][1]
    golden.compare(
        {
            "feature": feature,
            "mouth": mouth,
            "headpose": headpose,
            "mouth_embed": merged[:, :split],
            "headpose_embed": merged[:, split:],
        }
    )


def _image(golden: Golden) -> Tensor:
    return tensor(golden.inputs["image"]) / 127.5 - 1
