"""Wav2Lip's and VideoReTalking's trainings take the published files, and give such files."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flows.recipes import find_recipe, recipe_settings
from models.published import build, build_trained
from models.video_retalking import enet, lnet
from models.video_retalking.lnet import LNet
from models.video_retalking.settings import LNetSize
from stores.artifacts.store import Store
from stores.weights.registry import read_registry
from tasks.training.video_retalking_enet import ENetRecipe
from tests.flows.methods.test_video_retalking import NARROW, add_random
from tests.goldens.golden import OURS
from tests.published_weights import trained_file, write_registry

pytestmark = [pytest.mark.dub, pytest.mark.long]

TINY_LNET = {"width": 4, "residuals": 1, "attention": 1}
RECIPES = {
    "wav2lip.expert": ("wav2lip_lipsync_expert", {}),
    "wav2lip.generator": ("wav2lip_gan", {}),
    "video_retalking.lnet": ("vrt_lnet", TINY_LNET),
    "video_retalking.dnet": ("vrt_dnet", {}),
    "video_retalking.enet": ("vrt_enet", {"width": 4}),
}
"""Published weights of what each trains, and its size where the published one takes too long."""


def made(recipe: str, store: Store, folder: Path, **own: Any) -> Any:
    if recipe in ("wav2lip.generator", "video_retalking.lnet"):
        own = {"expert": "none"} | own
    if recipe == "video_retalking.enet":
        tiny = trained_file(folder / "lnet.safetensors", "vrt_lnet", TINY_LNET)
        own = {"lnet": tiny, "losses": {"identity": 0}} | own
    _, settings = recipe_settings(recipe, "paper", trainer={}, settings=own)
    return find_recipe(recipe).make(settings, store.url)


def shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_trained_in_the_papers_size_has_the_published_layout(
    recipe: str, store: Store, tmp_path: Path
) -> None:
    training = made(recipe, store, tmp_path)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is set by itself does not reach "meta"
        if isinstance(training, ENetRecipe):
            training._lnet, training._lnet_size = LNet(), LNetSize()
        (export,) = training.export(training.networks()).values()
        expected = build(export.network).state_dict()
        again = build_trained(export.network, export.config).state_dict()
    assert export.network == read_registry()[RECIPES[recipe][0]].network
    assert shapes(export.tensors) == shapes(expected) == shapes(again)
    golden = json.loads((OURS / f"{export.network}.json").read_text())
    assert set(export.tensors) == {name for name, *_ in golden["state_dict"]}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_begins_with_the_published_file(
    recipe: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, size = RECIPES[recipe]
    names = ("vrt_lnet", name) if recipe == "video_retalking.enet" else (name,)
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", *names)))
    for module in (lnet, enet):
        for constant, value in NARROW[module].items():
            monkeypatch.setattr(module, constant, value)
    for each in names:
        add_random(store, each, tmp_path)
    training = made(recipe, store, tmp_path, start=name, **({"size": size} if size else {}))
    network: nn.Module = training.networks()[training.phases[0]]
    torch.manual_seed(0)
    published_state = build(read_registry()[name].network).state_dict()
    begun = network.state_dict()
    assert begun
    for key, value in begun.items():
        assert torch.equal(value, published_state[key]), key
