"""Writes a bill of materials (CycloneDX 1.6, JSON) of all packages that requirements.lock installs.

    python docs/sbom.py > sbom.cdx.json

The same lock gives the same bytes; the hashes are those that an installation is held to.
"""

import json
import re
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?: ; (.*?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, object]]:
    """One component a package, in the lock's order."""
    found: list[dict[str, object]] = []
    for entry in re.split(r"\n(?=\S)", lock):
        if (package := _PACKAGE.match(entry.partition("\n")[0])) is None:
            continue
        name, version, marker = package.groups()
        each: dict[str, object] = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
        }
        if marker:
            each["properties"] = [{"name": "python:marker", "value": marker}]
        # One for each file of the release: an installation takes the one for its machine.
        hashes = [{"alg": "SHA-256", "content": digest} for digest in _HASH.findall(entry)]
        each["externalReferences"] = [
            {
                "type": "distribution",
                "url": f"pkg:pypi/{name}@{version}",
                "hashes": hashes,
            }
        ]
        found.append(each)
    return found


def bill() -> dict[str, object]:
    """The whole of it."""
    lock = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"pkg:pypi/{name}@{version}",
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": components(lock),
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
    sys.stdout.write("\n")
