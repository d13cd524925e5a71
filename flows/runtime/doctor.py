"""`dubflow doctor`: what is installed, which device and weights there are, is the store healthy."""

import os

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from flows.quantities import counted
from stores.artifacts.keys import file_key
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import DubflowError
from stores.shipped import shipped_file
from stores.weights.registry import records

SHIPPED = (
    "models/face_basis/face_basis.safetensors",
    "models/speech_to_lips/speech_to_lips.safetensors",
    "models/faces/mesh/mean_face.safetensors",
    "models/face_mesh/face_mesh.tflite",
    "models/whisper/encoder.safetensors",
    "examples/cap13.mp4",
    "examples/jfk.wav",
)


class StoreFindings(BaseModel):
    """What is found of the store; `free_gb` is None where that can't be known."""

    url: str
    artifacts: int = 0
    runs: int = 0
    free_gb: float | None = 0.0
    weights: list[str] = []


class Findings(BaseModel):
    """What is found of an installation; `healthy` is false if a dub could not run.

    Attributes:
        shipped: File that comes with Dubflow → its content's key.
    """

    versions: dict[str, str]
    device: str
    processors: int | None
    encoders: list[str]
    shipped: dict[str, str]
    store: StoreFindings
    prefect_server: str | None
    problems: list[str]
    healthy: bool


def examine(store: str) -> Findings:
    """Look at what a dub needs."""
    problems: list[str] = []
    shipped = {}
    for name in SHIPPED:
        try:
            shipped[name] = file_key(shipped_file(name))
        except FileNotFoundError as error:
            problems.append(str(error))
    device, encoders, of_store = _device(problems), _encoders(problems), _store(store, problems)
    return Findings(
        versions=software_versions(),
        device=device,
        processors=os.cpu_count(),
        encoders=encoders,
        shipped=shipped,
        store=of_store,
        prefect_server=os.environ.get("PREFECT_API_URL"),
        problems=problems,
        healthy=not problems,
    )


def show(findings: Findings, console: Console) -> None:
    """Print findings for people."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    versions = ", ".join(f"{name} {text}" for name, text in findings.versions.items())
    store = findings.store
    free = "" if store.free_gb is None else f", {store.free_gb:.0f} GB free"
    table.add_row("software", versions)
    table.add_row("device", f"{findings.device}, {findings.processors} processors")
    table.add_row("encoders", ", ".join(findings.encoders))
    table.add_row("shipped", ", ".join(findings.shipped))
    table.add_row(
        "store",
        f"{store.url}: {counted(store.artifacts, 'artifact')}, {counted(store.runs, 'run')}{free}",
    )
    table.add_row("weights", ", ".join(store.weights) or "none; see `dubflow weights list`")
    server = findings.prefect_server or "none known; `--prefect` starts one for the run"
    table.add_row("Prefect server", server)
    console.print(table)
    for problem in findings.problems:
        console.print(f"[red]problem: {problem}")
    if findings.healthy:
        console.print("[green]healthy")


def _device(problems: list[str]) -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return "cpu (the default method; for the others: pip install 'dubflow[methods]')"
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


def _store(url: str, problems: list[str]) -> StoreFindings:
    facts = StoreFindings(url=url)
    try:
        store = Store(url)
        probe = f".doctor-{os.getpid()}"
        store.backend.write(probe, b"x")
        store.backend.delete(probe)
        free = store.backend.free_bytes()
        facts.free_gb = None if free is None else free / 1e9
        facts.weights = [record.entry for record in records(store)]
        facts.runs = len(store.backend.names("runs"))
        for kind, key in store.committed():
            facts.artifacts += 1
            try:
                store.find(kind, key)
            except DubflowError as error:
                problems.append(str(error))
    except (DubflowError, OSError) as error:
        problems.append(f"the store {url} can't be used: {error}")
    if facts.free_gb is not None and facts.free_gb < 1 and not problems:
        problems.append(f"less than 1 GB is free where the store {url} lies")
    return facts
