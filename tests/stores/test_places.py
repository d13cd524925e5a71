"""Files and folders that could not be written are told before anything is."""

import os
from pathlib import Path

import pytest

from stores.errors import SettingsError
from stores.places import check_new_file, check_new_folder


def test_what_is_missing_or_in_the_way_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    check_new_file(Path("out.mp4"))
    check_new_file(Path("new/er/out.parquet"), made=True)
    check_new_folder(Path("new/er"))
    with pytest.raises(SettingsError, match=r"^new/b\.mp4: its folder does not exist; create new"):
        check_new_file(Path("new/b.mp4"))
    with pytest.raises(SettingsError, match="is a folder; name a file in it"):
        check_new_file(tmp_path)
    with pytest.raises(SettingsError, match=r"^file/run: file is no folder; name another place$"):
        check_new_folder(Path("file/run"))


def test_the_nearest_folder_that_is_there_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ro").mkdir()
    asked: list[tuple[Path, int]] = []

    def no(path: Path, mode: int) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", no)
    refused = r"nothing can be written in ro; name another place$"
    with pytest.raises(SettingsError, match=rf"^ro/b\.mp4: {refused}"):
        check_new_file(Path("ro/b.mp4"))
    with pytest.raises(SettingsError, match=rf"^ro/a/b: {refused}"):
        check_new_folder(Path("ro/a/b"))
    assert asked == [(Path("ro"), os.W_OK | os.X_OK)] * 2


def test_a_folder_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(path: Path, **options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", hidden)
    for check in (check_new_file, check_new_folder):
        with pytest.raises(SettingsError, match="nothing can be written in"):
            check(tmp_path / "hidden" / "b")
