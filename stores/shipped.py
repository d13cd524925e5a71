"""Files that ship with Dubflow: trained weights, presets, example media."""

from pathlib import Path

_ROOT = Path(__file__).parent.parent
"""All top-level packages are installed side by side."""


def shipped_file(name: str) -> Path:
    """Path of a shipped file, for example "examples/jfk.wav".

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    path = _ROOT / name
    if not path.is_file():
        raise FileNotFoundError(f"Dubflow should hold {name}: install it again")
    return path


def shipped_names(folder: str) -> list[str]:
    """Names of the YAML files in a shipped folder, without suffix, in alphabetical order."""
    return sorted(path.stem for path in (_ROOT / folder).glob("*.yaml"))
