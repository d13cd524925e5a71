"""What a training leaves: weights files, and a card that says what they are."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from stores.artifacts.versions import software_versions
from stores.errors import TrainingError
from stores.whole_files import replacing
from tasks.training.checkpoint import State
from tasks.training.recipe import Export, Recipe
from tasks.training.run_folder import RunFolder, flat, write_text


def write_weights(
    folder: RunFolder,
    exports: Mapping[str, Export],
    *,
    precision: str,
    licence: str,
    trained_on: Mapping[str, Any],
    recipe: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Write each as safetensors; gives bytes and SHA-256 of each file by its name.

    Args:
        precision: float32 or float16; statistics of norms stay float32.
        licence: Of the weights, one line.
        trained_on: What the files' metadata say of the data.
        recipe: And of the settings.
    """
    found = {}
    for name, export in exports.items():
        tensors = {key: _stored(key, value, precision) for key, value in export.tensors.items()}
        _check(name, tensors)
        metadata = {
            "network": export.network,
            "config": json.dumps(export.config),
            "licence": licence,
            "trained_on": json.dumps(trained_on),
            "recipe": json.dumps(recipe),
        }
        path = folder.path / f"{name}.safetensors"
        content = _in_order(save(tensors, metadata=metadata))
        with replacing(path) as beside:
            beside.write_bytes(content)
        found[path.name] = {
            "bytes": len(content),
            "parameters": sum(t.numel() for t in tensors.values()),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    return found


def write_card(
    folder: RunFolder,
    *,
    recipe: Recipe,
    given: Mapping[str, Any],
    data: Mapping[str, Any],
    state: State,
    device: torch.device,
    weights: Mapping[str, Mapping[str, Any]],
    licence: str,
) -> dict[str, Any]:
    """Write card.json and card.md; gives what is in them.

    Args:
        given: Settings, as in settings.json.
        data: What it was trained on.
        device: That it ended on.
    """
    best = next((v for v in state.validations if v["step"] == state.best_step), {})
    card = {
        "recipe": recipe.name,
        "licence": licence,
        "weights": dict(weights),
        "steps": state.step,
        "chosen_step": state.step if state.best_step is None else state.best_step,
        "chosen_by": recipe.judged_by if state.best_step is not None else "last step",
        "figures": {name: value for name, value in best.items() if name != "step"},
        "data": dict(data),
        "settings": dict(given),
        "facts": recipe.facts(),
        "wall_seconds": round(state.seconds, 1),
        "device": device_name(device),
        "versions": software_versions(),
        "validations": state.validations,
    }
    write_text(folder.path / "card.json", json.dumps(card, indent=1) + "\n")
    write_text(folder.path / "card.md", card_text(card))
    return card


def card_text(card: Mapping[str, Any]) -> str:
    """The card for people, as Markdown."""
    lines = [f"# {card['recipe']}", ""]
    for name, file in card["weights"].items():
        size = f"{file['parameters'] / 1e6:.2f} M values, {file['bytes'] / 1e6:.1f} MB"
        lines.append(f"- `{name}`: {size}, SHA-256 `{file['sha256']}`")
    hours = card["wall_seconds"] / 3600
    lines += [
        f"- Licence: {card['licence']}",
        f"- Step {card['chosen_step']} of {card['steps']}, chosen by {card['chosen_by']}",
        f"- Trained for {hours:.2f} h on {card['device']}",
    ]
    lines += [f"- {name.replace('_', ' ')}: {fact}" for name, fact in card["facts"].items()]
    tables = {
        "Figures on validation persons": card["figures"],
        "Data": flat(card["data"]),
        "Settings": flat(card["settings"]),
        "Versions": card["versions"],
    }
    return "\n".join([*lines, *table_lines(tables)]) + "\n"


def table_lines(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Tables of names and values by their titles, as Markdown; without empty ones."""
    for title, table in tables.items():
        if table:
            yield from ("", f"## {title}", "", "| | |", "|---|---|")
            yield from (f"| {name} | {_told(value)} |" for name, value in table.items())


def device_name(device: torch.device) -> str:
    """What computes, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": f"CPU, {torch.get_num_threads()} threads"}.get(device.type, device.type)


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _in_order(content: bytes) -> bytes:
    """A safetensors file whose header has the metadata sorted: the library draws their order."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = dict(sorted(header.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _stored(name: str, tensor: Tensor, precision: str) -> Tensor:
    whole = not tensor.is_floating_point() or "running_" in name
    kind = tensor.dtype if whole else getattr(torch, precision)
    return tensor.detach().cpu().to(kind).contiguous()


def _check(name: str, tensors: Mapping[str, Tensor]) -> None:
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(
                f"{name}: {key} holds values that are no numbers of {tensor.dtype}; "
                "set weights=float32, or train with a lower learning rate"
            )
