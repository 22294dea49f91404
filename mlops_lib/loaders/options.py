"""How the rows of a source are read, named and split: the same options for files,
databases and feature stores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from mlops_lib import plugins
from mlops_lib.columns.date_forms import ORDERS
from mlops_lib.columns.infer import Declared, names_of
from mlops_lib.loaders.row_checks import Prepare, named_columns
from mlops_lib.loaders.split_plans import SplitPlan
from mlops_lib.settings import Settings
from mlops_lib.settings.data import CsvSettings, SplitSettings

#: The settings that name a column of the reference.
REFERENCES = "data.reference_columns, and section evaluation where it needs the column"


@dataclass(frozen=True)
class ReadOptions:
    """Options of a loader.

    Attributes:
        label: Label column, or several.
        key: Column of entity keys; every row must have a value. Empty: no key.
        features, reference_columns: Further columns that must be there.
        prepare: Function from the rows of the source to the rows to split.
        validation_fraction, test_fraction, seed, split: See `SplitPlan` (`split` is its `how`).
        missing_label: ``error``, or ``drop`` for rows without a label.
        csv, missing_values: See `Rows`.
        kinds, task, weight: See `Declared`.
    """

    label: str | tuple[str, ...]
    key: str = ""
    features: tuple[str, ...] = ()
    reference_columns: tuple[str, ...] = ()
    prepare: Prepare | None = None
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    seed: int = 0
    split: SplitSettings = field(default_factory=SplitSettings)
    missing_label: str = "error"
    csv: CsvSettings = field(default_factory=CsvSettings)
    missing_values: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    weight: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns."""
        return names_of(self.label)

    @cached_property
    def plan(self) -> SplitPlan:
        """What decides the split of a row."""
        fractions = self.validation_fraction, self.test_fraction
        kind = self.kinds.get(self.split.column, "")
        order = kind if kind in ORDERS else ""
        return SplitPlan(self.labels[0], self.key, *fractions, self.seed, self.split, order)

    @cached_property
    def declared(self) -> Declared:
        """What is known about the columns: the column of a split by time is no feature,
        nor is one with its names."""
        time = self.split.column if self.split.by == "time" else ""
        kinds = dict(self.kinds)
        if self.split.by == "column":
            kinds[self.split.column] = "drop"
        if time and kinds.get(time) in ORDERS:
            del kinds[time]
        missing = () if self.prepare else self.missing_values
        return Declared(
            self.label,
            self.key,
            time,
            self.weight,
            self.features,
            kinds,
            self.task,
            self.reference_columns,
            missing,
        )

    @property
    def named(self) -> dict[str, str]:
        """Columns that must be there -> the setting that names them."""
        split = {self.split.column: "data.split.column"} if self.split.column else {}
        references = dict.fromkeys(self.reference_columns, REFERENCES)
        return references | named_columns(self.labels, self.key, self.features) | split


def from_settings(settings: Settings) -> dict[str, Any]:
    """The fields of `ReadOptions` that section `data` decides."""
    data = settings.data
    names = {one.name for one in fields(ReadOptions)}
    found = {name: value for name, value in data if name in names}
    prepare = plugins.load("prepare", data.prepare) if data.prepare else None
    return found | {"prepare": prepare, "kinds": data.columns, "task": settings.evaluation.task}


def password(settings: Settings) -> str:
    """Of the source's address; empty: none."""
    secret = settings.secrets.data_password
    return secret.get_secret_value() if secret else ""
