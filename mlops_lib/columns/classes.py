"""The classes of a label."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_lib.columns.facts import Facts

#: A label with more values than this is no class label.
MAX_CLASSES = 1_000


def classes_of(facts: "Facts", kind: str) -> tuple[Any, ...]:
    """The sorted classes, whole numbers as integers; none for a label of fractions, times or prose."""
    if kind not in ("category", "boolean", "integer", "number") or facts.values is None:
        return ()
    if not facts.complete or len(facts.values) > MAX_CLASSES:
        return ()
    values = facts.values.to_pylist()
    if kind == "number":
        if facts.infinite or any(not math.isfinite(value) or value % 1 for value in values):
            return ()
        values = [int(value) for value in values]
    return tuple(sorted(values))
