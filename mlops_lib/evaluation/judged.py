"""One model's predictions for the rows of a split: what the gate compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: End of the name of a fact: whether each row counts in a metric of text. Without the fact, all rows do.
COUNTED = " counts"


@dataclass(frozen=True)
class JudgedRows:
    """The truth and one model's predictions for N rows.

    Two models can be compared when their `ids` are equal, in the same order.

    Attributes:
        task: Name of the task.
        ids: Digest of each row as it was read (features, label, key), N.
        entities: The key of each row as text, N; rows of one entity stay together in a resample. Without a key, the id.
        truth: N values, as the task takes them.
        predicted: N predictions, as the task takes them; None where the model failed on a row.
        classes: The classes, or several labels, in the order of the prediction's columns; empty for other tasks.
        weights: Weight of each row, N; None: all count the same.
        slices: Slice -> the value of each row as text, N.
        values: Text: metric -> the value of each row, N; None where it has none.
        errors: Why the model has no prediction for a row, N; "" where it has one. Empty: no row failed.
        latency_s: Seconds that a row took; one for each row, or of a sample of rows.
        cost_usd: Text: US dollars of the calls for each row, N.
        facts: What else the task needs to know, as of `tasks.interface.Task.facts_of`: name -> N numbers or texts.
        references: Of a task of the user's own: the columns of ``data.reference_columns`` of each row, N; empty: none.
    """

    task: str
    ids: Sequence[str]
    entities: Sequence[str]
    truth: Any
    predicted: Any
    classes: Sequence[Any] = ()
    weights: Any = None
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    errors: Sequence[str] = ()
    latency_s: Sequence[float] = ()
    cost_usd: Sequence[float] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    references: Sequence[Mapping[str, Any]] = ()

    @property
    def keys(self) -> Sequence[str]:
        """The key of each row for readers, N: of a forecast, the series and the time; ids where there is no key."""
        if "time" in self.facts and "key" in self.facts:
            pairs = zip(self.facts["key"], self.facts["time"], strict=True)
            return [f"{key} {time}".strip() for key, time in pairs]
        return self.entities


@dataclass(frozen=True)
class Champion:
    """The version at Production, and its predictions for the rows that the challenger is judged on.

    Attributes:
        rows: Its predictions; None when it could not be judged.
        problem: Why it could not be judged: the gate refuses then.
        digest: SHA-256 of the model's files.
        note: What the comparison took, such as LLM calls; "" for nothing.
    """

    name: str
    version: int
    run_id: str
    digest: str = ""
    rows: JudgedRows | None = None
    problem: str = ""
    note: str = ""
