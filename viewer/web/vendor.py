"""The page's libraries: files of npm packages, kept in `static/vendor` and listed in VENDOR.toml.

`python -m viewer.web.vendor` fetches each package at the version that VENDOR.toml names, copies the
files listed there and writes the file's facts anew. To renew one, change its version there and run
it again. npm checks what it fetches against the registry's integrity, and must be on the machine.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "static" / "vendor"
FACTS = FOLDER / "VENDOR.toml"
_HEAD = "# Written by `python -m viewer.web.vendor`; versions and lists of files are changed by hand.\n"


def read_facts() -> list[dict[str, Any]]:
    """Each package's `name`, `version`, `licence`, npm's `integrity`, and `files`: path → SHA-256."""
    packages: list[dict[str, Any]] = tomllib.loads(FACTS.read_text())["package"]
    return packages


def sha256(path: Path) -> str:
    """The digest of a file's bytes, as VENDOR.toml states it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def renew() -> None:
    """Fetches every package and writes its files and VENDOR.toml."""
    packages = read_facts()
    for package in packages:
        spec = f"{package['name']}@{package['version']}"
        facts = json.loads(_npm("view", spec, "license", "dist.integrity", "--json"))
        package |= {"licence": facts["license"], "integrity": facts["dist.integrity"]}
        target = FOLDER / package["name"]
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            packed = _npm("pack", spec, "--silent", "--pack-destination", folder).strip()
            with tarfile.open(Path(folder) / packed) as tar:
                tar.extractall(folder, filter="data")
            for name in package["files"]:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(folder) / "package" / name, target / name)
        package["files"] = {name: sha256(target / name) for name in package["files"]}
    FACTS.write_text(_HEAD + "".join(map(_toml, packages)))


def _npm(*words: str) -> str:
    done = subprocess.run(["npm", *words], check=True, capture_output=True, text=True)
    return done.stdout


def _toml(package: dict[str, Any]) -> str:
    facts = [f"{key} = {json.dumps(package[key])}" for key in _KEYS]
    files = [f"{json.dumps(name)} = {json.dumps(digest)}" for name, digest in package["files"].items()]
    return "\n".join(["", "[[package]]", *facts, "", "[package.files]", *files, ""])


_KEYS = ("name", "version", "licence", "integrity")

if __name__ == "__main__":
    renew()
