from viewer.web.vendor import FACTS, FOLDER, read_facts, sha256


def test_libraries_are_those_that_are_listed() -> None:
    listed = {
        f"{package['name']}/{name}": digest
        for package in read_facts()
        for name, digest in package["files"].items()
    }
    there = {
        path.relative_to(FOLDER).as_posix(): sha256(path)
        for path in FOLDER.rglob("*")
        if path.is_file() and path != FACTS
    }
    assert there == listed


def test_each_library_has_licence_and_integrity() -> None:
    for package in read_facts():
        assert package["licence"] in ("MIT", "BSD-3-Clause")
        assert "LICENSE" in package["files"]
        assert package["integrity"].startswith("sha512-")
