"""A folder that a group of users works in: what one makes, the others can use.

A folder is shared if its group may write in it. What is made there gets the group's rights of the
folder, whatever the umask of its maker is; its group is inherited where the folder has the setgid
bit (`chmod g+ws`). In any other folder the umask decides alone.
"""

import stat
from contextlib import suppress
from pathlib import Path

_GROUP = stat.S_IRWXG


def rights_of_group(folder: Path) -> int:
    """Bits of the mode that what is made in the folder shall have; 0 if it is not shared."""
    mode = folder.stat().st_mode
    return mode & _GROUP if mode & stat.S_IWGRP else 0


def share(path: Path, rights: int) -> None:
    """Give the group its rights on a file or folder; what others own, they have seen to."""
    if not rights:
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    wanted = mode | (rights if path.is_dir() else rights & ~stat.S_IXGRP)
    if wanted != mode:
        with suppress(PermissionError):
            path.chmod(wanted)


def make_folder(path: Path, rights: int) -> None:
    """Make a folder and those above it, with the group's rights; one that is there stays."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        share(folder, rights)
