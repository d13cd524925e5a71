"""Tables that people write: CSV as editors and spreadsheets of all countries save it."""

import csv
from pathlib import Path

from stores.errors import InputError

_SEPARATORS = ",;\t"


def csv_rows(path: Path, *, skip: int = 0) -> list[dict[str | None, str | list[str] | None]]:
    """Rows by column name, cells as they stand; a cell too many is listed under None.

    Cells are separated by commas, semicolons (as spreadsheets do where the comma is a decimal mark)
    or tabs: by what the first line has most of. A byte order mark is no part of the first name.

    Args:
        skip: Lines above the one with the names.

    Raises:
        OSError: it can't be opened.
        InputError: it is no text in UTF-8, or no CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = file.readlines()[skip:]
            header = lines[0] if lines else ""
            reader = csv.DictReader(lines, delimiter=max(_SEPARATORS, key=header.count))
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            return list(reader)
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file ({error}); save it as CSV UTF-8") from None
