"""The columns of a dataset: a role and a kind for each. Written with the dataset,
the model and the version."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

Kind = Literal["number", "integer", "boolean", "category", "datetime", "text", "image", "array", "sequence"]
Role = Literal["feature", "label", "reference", "key", "time", "weight", "ignored", "unused"]

#: File with the schema of a dataset: beside its splits, and in the runs that read it.
COLUMNS_FILE = "columns.json"
#: Kinds whose values are numbers already.
PLAIN: tuple[Kind, ...] = ("number", "integer", "boolean")
#: Arrow types of text.
TEXT_TYPES = ("string", "large_string", "string_view")
#: The largest number that float32 has. A larger one counts as infinite.
LARGEST = (2 - 2**-23) * 2.0**127


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: As in the source.
        kind: What its values are.
        role: What it is for. A ``reference`` column is for metrics and slices, beside the label;
            an ``ignored`` column is in the dataset and no feature; an ``unused`` one is in the source alone.
        reason: Why it has this kind and role, for people.
        stored: Arrow type of the values in the dataset.
        nullable: Whether a row of the dataset, in any split, lacks a value.
        distinct: Distinct values in the train split; of more than 200,000, about that number.
        least, most: Smallest and largest finite number in the train split; None without one.
        infinite: Whether the train split has infinite numbers, or numbers beyond float32.
        width: Numbers in each value of an array; else 0.
        shape: Of each value of a list: its length, and those of the lists in it; of an image:
            channels (1 or 3), height and width. -1 where they differ.
        date_order: Of day and month in dates such as 03/04/2012: day_first or month_first; "" for others.
        missing: Texts of the source that mean a missing value (``data.missing_values``), as do the numbers that they are.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    reason: str = ""
    stored: str = ""
    nullable: bool = False
    distinct: int = 0
    least: float | None = None
    most: float | None = None
    infinite: bool = False
    width: int = 0
    shape: tuple[int, ...] = ()
    date_order: str = ""
    missing: tuple[str, ...] = ()

    @property
    def missing_texts(self) -> frozenset[str]:
        """Texts of a request that mean a missing value; none where no row of the dataset lacks one."""
        return frozenset(self.missing) if self.nullable else frozenset()

    @property
    def missing_numbers(self) -> list[float]:
        """Numbers of a request that mean a missing value; none where no row of the dataset lacks one, or where
        the values are no numbers: false and a duration of no time are no 0."""
        takes = self.nullable and not self.stored.startswith(("bool", "duration", "time"))
        return numbers_in(self.missing) if takes else []

    def means_missing(self, value: Any) -> bool:
        """Whether a text or a number of a request means a missing value."""
        if isinstance(value, str):
            return value in self.missing_texts
        return type(value) in (int, float) and value in self.missing_numbers

    @property
    def is_plain(self) -> bool:
        """Whether its values are numbers or booleans that a model takes as they are."""
        changes = self.infinite or self.missing_texts
        return self.kind in PLAIN and not changes and self.stored not in TEXT_TYPES


@dataclass(frozen=True)
class Schema:
    """All columns of a dataset, in the order of the source.

    Attributes:
        columns: Every column, those without use included.
        classes: The classes of the label in the train split, sorted; empty when it is no class label.
    """

    columns: tuple[Column, ...]
    classes: tuple[Any, ...] = ()

    @classmethod
    def of(
        cls, features: Mapping[str, Kind], label: str, key: str = "", classes: tuple[Any, ...] = ()
    ) -> Schema:
        """A schema from names and kinds, for a loader that knows its columns."""
        own = [Column(key, "category", "key")] if key else []
        chosen = [Column(name, kind) for name, kind in features.items()]
        return cls((*own, *chosen, Column(label, "category", "label")), classes)

    @cached_property
    def features(self) -> dict[str, Column]:
        """The columns to learn from, by name, in order."""
        return {column.name: column for column in self.columns if column.role == "feature"}

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each feature."""
        return {name: column.kind for name, column in self.features.items()}

    @property
    def has_images(self) -> bool:
        """Whether a feature is an image, so that a row may need much memory."""
        return "image" in self.kinds.values()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in the order of config.yaml and of the numbers of a prediction."""
        return tuple(column.name for column in self.columns if column.role == "label")

    @property
    def label(self) -> str:
        """Name of the one label; "" without one.

        Raises:
            ValueError: There are several.
        """
        if len(self.labels) > 1:
            raise ValueError(f"The data has {len(self.labels)} labels ({', '.join(self.labels)}), not one.")
        return self._named("label")

    @property
    def key(self) -> str:
        """Name of the column that tells entities apart; "" without one."""
        return self._named("key")

    @property
    def time(self) -> str:
        """Name of the column with the time of a row; "" without one."""
        return self._named("time")

    @property
    def references(self) -> list[str]:
        """Columns of the reference beside the label."""
        return [column.name for column in self.columns if column.role == "reference"]

    @property
    def weight(self) -> str:
        """Name of the column with the weight of a row; "" without one."""
        return self._named("weight")

    @property
    def is_plain(self) -> bool:
        """Whether a model can take every feature as it is: numbers and booleans, none of them infinite."""
        return all(column.is_plain for column in self.features.values())

    @property
    def used(self) -> list[str]:
        """The columns of the written dataset, in order: key, time, weight, others, label."""
        special = [name for name in (self.key, self.time, self.weight) if name]
        others = [
            column.name for column in self.columns if column.role in ("feature", "reference", "ignored")
        ]
        return [*special, *others, *self.labels]

    def with_features(self, names: Iterable[str]) -> Schema:
        """The same columns with these features alone, in this order; other features are unused."""
        names = tuple(names)
        known = {column.name: column for column in self.columns}
        chosen = [replace(known[name], role="feature") for name in names]
        others = [
            replace(column, role="unused") if column.role in ("feature", "ignored") else column
            for column in self.columns
            if column.name not in names
        ]
        return Schema((*chosen, *others), self.classes)

    def table(self) -> list[dict[str, Any]]:
        """A line for each column, for people: kind, role, stored type, gaps,
        distinct values and the reason."""
        return [
            {
                "column": one.name,
                "kind": one.kind,
                "role": one.role,
                "stored as": one.stored,
                "gaps": one.nullable,
                "distinct": one.distinct,
                "reason": one.reason,
            }
            for one in self.columns
        ]

    def summary(self) -> str:
        """One line, such as ``9 features: 4 number, 3 category, 2 datetime``."""
        kinds = list(self.kinds.values())
        counts = {kind: kinds.count(kind) for kind in kinds}
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=_most_first))
        return f"{len(kinds)} features: {listed}"

    def to_json(self) -> str:
        """This schema as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def to_dict(self) -> dict[str, Any]:
        """This schema as values that JSON has."""
        return {"columns": [asdict(column) for column in self.columns], "classes": list(self.classes)}

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema of `to_json`."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Schema:
        """The schema of `to_dict`."""
        columns = (Column(**{**one, **_tuples(one)}) for one in found["columns"])
        return cls(tuple(columns), tuple(found["classes"]))

    def _named(self, role: Role) -> str:
        return next((column.name for column in self.columns if column.role == role), "")


def numbers_in(texts: Iterable[str]) -> list[float]:
    """The texts that are finite numbers, as such."""
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(float(text))
    return [number for number in found if math.isfinite(number)]


def _tuples(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(one.get(name, ())) for name in ("shape", "missing")}


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]
