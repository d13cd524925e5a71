"""Stores of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.object_server import environment, new_bucket, object_server


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """An S3 server, shared by all tests of a process."""
    with object_server() as port:
        yield port


@pytest.fixture
def s3_url(s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store on the S3 server; the environment leads to it."""
    for name, value in environment(s3_port).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DUBFLOW_DOWNLOADS", str(tmp_path / "downloads"))
    return new_bucket(s3_port)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.dub)])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each kind."""
    if request.param == "folder":
        return str(tmp_path / "store")
    url: str = request.getfixturevalue("s3_url")
    return url
