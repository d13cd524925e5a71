"""The bill of materials names every package of the lock, with the hashes of the lock."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_is_the_lock() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "sbom.py"], capture_output=True, text=True, check=True
    )
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    lock = (ROOT / "requirements.lock").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+==[^\s;]+)", lock, re.MULTILINE)
    assert [f"{each['name']}=={each['version']}" for each in bill["components"]] == names
    hashes = [
        each["content"]
        for component in bill["components"]
        for each in component["externalReferences"][0]["hashes"]
    ]
    assert hashes == re.findall(r"--hash=sha256:([0-9a-f]{64})", lock)
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(set(references)) == len(references)
