"""VideoReTalking's networks and steps, and GANimation's generator."""

import torch

from tests.goldens.golden import load, tensor


def test_golden_vrt_dnet() -> None:
    golden = load("vrt_dnet")
    network = golden.network()
    seen: dict[str, torch.Tensor] = {}
    network.mapping_net.register_forward_hook(lambda *call: seen.update(descriptor=call[-1]))
    image = tensor(golden.inputs["image"]) / 127.5 - 1
    found = network(image, tensor(golden.inputs["coeff"]))
    golden.compare({**found, **seen})


def test_golden_ganimation_generator() -> None:
    golden = load("ganimation_generator")
    image = tensor(golden.inputs["image"]) / 127.5 - 1
    found = golden.network()(image, tensor(golden.inputs["aus"]))
    golden.compare({"color": found.color, "attention": found.attention, "fake": found.over(image)})
