"""`dubflow doctor`: what is installed, which device and weights there are, is the store healthy."""

import os
from typing import Any

from rich.console import Console
from rich.table import Table

from stores.artifacts.keys import file_key
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import DubflowError
from stores.shipped import shipped_file
from stores.weights.registry import records

SHIPPED = (
    "models/speech_to_lips/speech_to_lips.safetensors",
    "models/faces/mesh/mean_face.safetensors",
    "examples/cap13.mp4",
    "examples/jfk.wav",
)


def examine(store: str) -> dict[str, Any]:
    """All findings as JSON; `healthy` is false if a dub could not run."""
    problems: list[str] = []
    shipped = {}
    for name in SHIPPED:
        try:
            shipped[name] = file_key(shipped_file(name))
        except FileNotFoundError as error:
            problems.append(str(error))
    found = {
        "versions": software_versions(),
        "device": _device(problems),
        "processors": os.cpu_count(),
        "encoders": _encoders(problems),
        "shipped": shipped,
        "store": _store(store, problems),
        "prefect_server": os.environ.get("PREFECT_API_URL"),
    }
    return {**found, "problems": problems, "healthy": not problems}


def show(findings: dict[str, Any], console: Console) -> None:
    """Print findings for people."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    versions = ", ".join(f"{name} {text}" for name, text in findings["versions"].items())
    store = findings["store"]
    free = "" if store["free_gb"] is None else f", {store['free_gb']:.0f} GB free"
    table.add_row("software", versions)
    table.add_row("device", f"{findings['device']}, {findings['processors']} processors")
    table.add_row("encoders", ", ".join(findings["encoders"]))
    table.add_row("shipped", ", ".join(findings["shipped"]))
    table.add_row(
        "store",
        f"{store['url']}: {store['artifacts']} artifacts, {store['runs']} runs{free}",
    )
    table.add_row("weights", ", ".join(store["weights"]) or "none; see `dubflow weights list`")
    server = findings["prefect_server"] or "none known; `--prefect` starts one for the run"
    table.add_row("Prefect server", server)
    console.print(table, highlight=False)
    for problem in findings["problems"]:
        console.print(f"[red]problem: {problem}", highlight=False)
    if findings["healthy"]:
        console.print("[green]healthy")


def _device(problems: list[str]) -> str:
    try:
        import torch
    except ImportError as error:
        problems.append(f"torch can't be imported ({error}): install Dubflow again")
        return "unknown"
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(0)}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _encoders(problems: list[str]) -> list[str]:
    import av

    wanted = ("libx264", "libx265", "aac", "flac")
    missing = [name for name in wanted if name not in av.codecs_available]
    problems += [f"PyAV lacks the encoder {name}: install its wheel again" for name in missing]
    return [name for name in wanted if name not in missing]


def _store(url: str, problems: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"url": url, "artifacts": 0, "runs": 0, "free_gb": 0.0, "weights": []}
    try:
        store = Store(url)
        probe = f".doctor-{os.getpid()}"
        store.backend.write(probe, b"x")
        store.backend.delete(probe)
        free = store.backend.free_bytes()
        facts["free_gb"] = None if free is None else free / 1e9
        facts["weights"] = [record.entry for record in records(store)]
        facts["runs"] = len(store.backend.names("runs"))
        for kind, key in store.committed():
            facts["artifacts"] += 1
            try:
                store.find(kind, key)
            except DubflowError as error:
                problems.append(str(error))
    except (DubflowError, OSError) as error:
        problems.append(f"the store {url} can't be used: {error}")
    if facts["free_gb"] is not None and facts["free_gb"] < 1 and not problems:
        problems.append(f"less than 1 GB is free where the store {url} lies")
    return facts
