"""Metadata of settings: which steps read a setting. The step cache uses it to tell
which change affects which step."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from mlops_lib.settings.section import Section


class Marker(NamedTuple):
    """The names of the steps that read a setting (None: all),
    and of those that run the code that it names."""

    steps: tuple[str, ...] | None = None
    code: tuple[str, ...] = ()


def read_by(*steps: str, code: tuple[str, ...] = ()) -> dict[str, Any]:
    """The ``json_schema_extra`` of a setting that only some steps read.

    On a section, it holds for each setting in it that has no marker of its own.
    A setting without a marker is read by every step, so that a new setting is never overlooked.

    Args:
        steps: Names of the steps whose result depends on the value; none for a setting that no step reads.
        code: Names of the steps whose result depends on the module, file or folder that the value names.
    """
    return {"marker": Marker(steps, code)}


@cache
def markers(settings: type[Section]) -> dict[str, Marker]:
    """The marker of every setting of a class, by dotted key."""
    return dict(_walk(settings, Marker()))


def _walk(section: type[Section], inherited: Marker, prefix: str = "") -> Iterator[tuple[str, Marker]]:
    for name, field in section.model_fields.items():
        extra = field.json_schema_extra
        marker = extra.get("marker", inherited) if isinstance(extra, dict) else inherited
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _walk(kind, marker, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            yield f"{prefix}{name}", marker  # type: ignore[misc]
