"""What messages say of what is not there."""

from pathlib import Path

from stores.errors import no_such_file


def test_what_lies_beside_under_nearly_that_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    told = no_such_file(tmp_path / "clps", "folder")
    assert told == f"{tmp_path / 'clps'}: no such folder; did you mean {tmp_path / 'clips'}?"


def test_else_what_to_do(tmp_path: Path) -> None:
    told = no_such_file(tmp_path / "a.parquet", "index", "`dubflow prepare` writes one")
    assert told == f"{tmp_path / 'a.parquet'}: no such index; `dubflow prepare` writes one"
    assert no_such_file(tmp_path / "b" / "c").endswith(": no such file; check the path")
