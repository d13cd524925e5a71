"""What messages say of what is not there."""

from pathlib import Path

from stores.errors import no_folder, no_such_file


def test_what_lies_beside_under_nearly_that_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    told = no_such_file(tmp_path / "clps", "folder")
    assert told == f"{tmp_path / 'clps'}: no such folder; did you mean {tmp_path / 'clips'}?"


def test_else_what_to_do(tmp_path: Path) -> None:
    told = no_such_file(tmp_path / "a.parquet", "index", "`dubflow prepare` writes one")
    assert told == f"{tmp_path / 'a.parquet'}: no such index; `dubflow prepare` writes one"
    assert no_such_file(tmp_path / "b" / "c").endswith(": no such file; check the path")


def test_what_is_there_but_no_folder_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    told = no_folder(tmp_path / "a.wav", "folder of speech")
    assert told == f"{tmp_path / 'a.wav'} is no folder of speech"
    assert no_folder(tmp_path / "b").endswith("b: no such folder; check the path")
