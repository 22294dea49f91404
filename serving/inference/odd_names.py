"""Column names that msgspec cannot have as the names of fields: with quotes,
backslashes or control characters.

A row with such a name is decoded to a dict, its names are replaced, and the dict is checked.
This is slower than msgspec's one pass, and used for tables with such a name alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

#: Characters that a field's name cannot have, and those of the private use area of
#: Unicode that stand for them.
STANDS_FOR = {code: chr(0xE000 + code) for code in (*range(32), ord('"'), ord("\\"))}


def replaced(name: str) -> str:
    """The name of a column's field."""
    return name.translate(STANDS_FOR)


class OddNames:
    """The columns of a table whose fields have other names. False where there is none."""

    def __init__(self, names: Iterable[str]) -> None:
        self._fields = {name: field for name in names if (field := replaced(name)) != name}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def to_fields(self, row: Any) -> Any:
        """A row with the names of the fields; anything but a dict as it is."""
        return (
            {self._fields.get(name, name): value for name, value in row.items()}
            if isinstance(row, dict)
            else row
        )

    def to_columns(self, text: str) -> str:
        """A message with the names of the columns."""
        for name, field in self._fields.items():
            text = text.replace(field, name)
        return text

    def in_schema(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON Schema of a row with the names of the columns."""
        named = {self.to_columns(name): value for name, value in row["properties"].items()}
        return {**row, "properties": named, "required": list(map(self.to_columns, row["required"]))}
