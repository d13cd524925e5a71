"""Weights in the store, published ones or of one's own training, and from there into a network.

    weights = find_weights("wav2lip_gan")        # an artifact: give it to a stage as an argument
    weights = find_weights("run/ip_lap_renderer.safetensors")
    network = load_network(weights)              # in the stage

Torch is imported where it is used: a run served from the store does without.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import FileState
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, MissingWeights, SettingsError, WeightsError
from stores.weights.registry import (
    FILE,
    WEIGHTS,
    Registry,
    find_entry,
    keep_weights,
    read_registry,
    sha256_of,
)
from stores.weights.registry import find_converted as find_converted
from stores.weights.trained import SUFFIX, read_header, read_tensors, trained_derivation
from tasks.engine.run import current_run

if TYPE_CHECKING:
    import torch
    from torch import nn

_CONSTANTS = (
    *(".num_batches_tracked", ".seen"),
    *(".kernel", ".pe", ".scaling_layer.shift", ".scaling_layer.scale"),
)
"""Ends of keys that a file may lack: counts of a training, and numbers that are always alike."""

_SHOWN_KEYS = 3


@dataclass(frozen=True)
class Licence:
    """What the publisher of a file states.

    Attributes:
        entry: Name in the registry.
        file: As published.
        licence: In words.
        commercial: Whether it allows commercial use; None where nothing is stated.
        page: Where that is said.
    """

    entry: str
    file: str
    licence: str
    commercial: bool | None
    page: str


def find_weights(name: str, *, store: Store | None = None) -> Artifact:
    """The weights of that name; looked up once in a run.

    Args:
        name: Of an entry of the registry; or the path of a .safetensors file of one's own training.
        store: Where they are; None is the store of the active run.

    Raises:
        MissingWeights: they are not there, in one line with where to get them and how to add them.
        WeightsError: the file is no such file.
        DamagedArtifact: they are not what was added.
        SettingsError: the registry has no such name.
    """
    if store is not None:
        return _look_up(name, store)
    run = current_run()
    if name not in run.kept:
        run.kept[name] = _look_up(name, run.store)
    return run.kept[name]


def weights_of(name: str, *networks: str) -> Artifact:
    """The same, of the active run, for one of these networks, the first of which is meant.

    Raises:
        SettingsError: they are of another network.
    """
    weights = find_weights(name)
    if network_of(weights) not in networks:
        raise SettingsError(f"{name} holds weights of {network_of(weights)}, not of {networks[0]}")
    return weights


def _look_up(name: str, store: Store) -> Artifact:
    if name.endswith(SUFFIX):
        return trained_weights(Path(name), store=store)
    registry = read_registry()
    find_entry(registry, name)
    for candidate in (name, *_stand_ins(registry, name)):
        found = find_converted(store, candidate)
        if found is not None:
            return found
    raise MissingWeights(f"the weights {name} are missing: {how_to_get(registry, name)}")


def trained_weights(path: Path, *, store: Store | None = None) -> Artifact:
    """Weights of one's own training, checked and copied into the store; found there by content.

    Args:
        path: A safetensors file as `stores.weights.trained` describes it.
        store: Where to; None is the store of the active run.

    Raises:
        WeightsError: it is no such file, or does not fit the network that it names.
    """
    store = store or current_run().store
    header = read_header(path)
    state = FileState.of(path)
    recipe = trained_derivation(header, sha256_of(path))
    with suppress(DamagedArtifact):  # made again of the file
        if (found := store.find(WEIGHTS.kind, recipe.key)) is not None:
            return found
    tensors = read_tensors(path)
    if FileState.of(path) != state:
        raise WeightsError(f"{path} changed while it was read; run again when it is complete")
    try:
        check = KeyCheck(_fresh(recipe.parameters).state_dict(keep_vars=True), [])
    except ValueError as error:
        raise WeightsError(f"{path}: {' '.join(str(error).split())}") from None
    for key, tensor in tensors.items():
        check.take(key, tensor)
    if misfits := check.misfits():
        raise WeightsError(f"{path} does not fit the network {header.network}: {misfits}")
    facts = {
        "published_file": path.name,
        "licence": header.licence,
        "commercial": header.commercial,
        "trained_on": header.trained_on,
        "recipe": header.recipe,
        "carried": [],
    }
    with store.in_use():
        return keep_weights(store, recipe, tensors, facts)


def network_of(weights: Artifact) -> str:
    """Name of the network that the weights are for, as in models.published."""
    return str(weights.manifest.parameters["network"])


def how_to_get(registry: Registry, name: str) -> str:
    """Where a file is published, and the command that adds it, on one line."""
    entry = find_entry(registry, name)
    if entry.address:
        return f"run `dubflow weights pull {name}` ({entry.file} from {entry.address})"
    same = [f"{registry[n].file} as {n}" for n in _stand_ins(registry, name)]
    other = f" (or {', '.join(same)})" if same else ""
    return (
        f"get {entry.file} from {entry.page} and run `dubflow weights add {name} "
        f"{Path(entry.file).name}`{other}"
    )


def load_network(
    weights: Artifact | str, *, store: Store | None = None, device: "str | torch.device" = "cpu"
) -> "nn.Module":
    """The published network with these weights, in eval mode, without gradients.

    Args:
        weights: Of `find_weights`, or their name or key.
        store: For a name or key; None is the store of the active run.
        device: Where it shall be.

    Raises:
        MissingWeights, DamagedArtifact, SettingsError: as `find_weights`.
        WeightsError: the network of this version has other keys.
    """
    import torch

    if isinstance(weights, str):
        weights = _named_or_keyed(weights, store or current_run().store)
    parameters = weights.manifest.parameters
    network = _fresh(parameters)
    state = network.state_dict(keep_vars=True)
    found = KeyCheck(state, weights.attributes["carried"])
    with torch.no_grad():
        for key, tensor in _tensors(weights):
            if found.take(key, tensor):
                state[key].copy_(tensor)
    if misfits := found.misfits():
        raise WeightsError(
            f"the weights {parameters['entry']} were converted for another version of "
            f"{parameters['network']}: {misfits}; add them again"
        )
    return network.eval().requires_grad_(False).to(device)


def licences(weights: Iterable[Artifact]) -> list[Licence]:
    """What the publishers of these weights, and of those that complete them, state."""
    registry = read_registry()
    found: dict[str, Licence] = {}
    for artifact in weights:
        for part in (artifact, *_parts(artifact).values()):
            name, then = part.manifest.parameters["entry"], part.attributes
            now = registry.get(name)  # an entry of the user's own may have gone
            found[name] = Licence(
                name,
                then["published_file"],
                now.licence if now else then["licence"],
                now.commercial if now else then["commercial"],
                now.page if now else "",
            )
    return list(found.values())


def licence_notes(found: Sequence[Licence]) -> list[str]:
    """Sentences for a report on a run made with weights under these licences."""
    notes = []
    for allowed, words in ((False, "non-commercial weights"), (None, "weights of unclear licence")):
        named = [f"{each.entry} ({each.licence})" for each in found if each.commercial is allowed]
        if named:
            notes.append(f"made with {words}: {', '.join(named)}")
    return notes


def _fresh(parameters: Mapping[str, Any]) -> "nn.Module":
    """The network that weights were kept for; its values are to be overwritten."""
    from models.published import build, build_trained
    from models.undrawn import undrawn

    with undrawn():
        if "trained" in parameters:
            return build_trained(parameters["network"], parameters["trained"])
        return build(parameters["network"], **parameters["arguments"])


def _stand_ins(registry: Registry, name: str) -> list[str]:
    return [other for other, entry in registry.items() if entry.instead_of == name]


def _named_or_keyed(text: str, store: Store) -> Artifact:
    if text in read_registry() or text.endswith(SUFFIX):
        return find_weights(text, store=store)
    return store.get(WEIGHTS.kind, text)


def _parts(weights: Artifact) -> dict[str, Artifact]:
    store = Store(weights.store_url)
    return {
        prefix: store.get(kind, key)
        for prefix, (kind, key) in weights.manifest.inputs.items()
        if kind == WEIGHTS.kind
    }


def _tensors(weights: Artifact) -> "Iterable[tuple[str, torch.Tensor]]":
    from safetensors import safe_open

    with safe_open(weights.file(FILE), framework="pt") as file:
        for key in file.keys():  # noqa: SIM118
            yield key, file.get_tensor(key)
    for prefix, part in _parts(weights).items():
        for key, tensor in _tensors(part):
            yield prefix + key, tensor


class KeyCheck:
    """Compares keys and shapes, as they come, with those of a network.

    Args:
        state: Of the network, parameters and buffers as they are.
        carried: Beginnings of keys that need not come.
    """

    def __init__(self, state: "Mapping[str, torch.Tensor]", carried: Sequence[str]) -> None:
        self._state = state
        self._names: dict[int, list[str]] = {}  # one parameter may have two names
        self._missing: dict[str, None] = {}
        for key, value in state.items():
            self._names.setdefault(id(value), []).append(key)
            if not f".{key}".endswith(_CONSTANTS) and not key.startswith(tuple(carried)):
                self._missing[key] = None
        self._unknown: list[str] = []
        self._unlike: list[str] = []

    def take(self, key: str, tensor: "torch.Tensor") -> bool:
        """Whether the network has this key, and in this shape."""
        wanted = self._state.get(key)
        if wanted is None:
            self._unknown.append(key)
            return False
        for name in self._names[id(wanted)]:
            self._missing.pop(name, None)
        fits = wanted.shape == tensor.shape
        if not fits or wanted.is_floating_point() != tensor.is_floating_point():
            self._unlike.append(f"{key} is {_kind(tensor)}, not {_kind(wanted)}")
            return False
        return True

    def misfits(self) -> str:
        """In words, the first of each sort; "" if there are none."""
        sorts = (("lacks", list(self._missing)), ("has unknown", self._unknown), ("", self._unlike))
        return "; ".join(
            f"{verb} {', '.join(found[:_SHOWN_KEYS])}".strip()
            + (f" and {len(found) - _SHOWN_KEYS} more" if len(found) > _SHOWN_KEYS else "")
            for verb, found in sorts
            if found
        )


def _kind(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
