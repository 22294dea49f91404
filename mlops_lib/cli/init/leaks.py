"""Columns that hold the label in another form, so that a model learns nothing else."""

from typing import TYPE_CHECKING

from mlops_lib.cli.init.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows needed to tell a leak from chance, and rows of an average value of a column that gives the class away.
MIN_ROWS, ROWS_OF_A_VALUE = 50, 10
#: Rank correlation from which two columns of numbers count as one.
SAME_ORDER = 0.99999


def find(table: Table, label: str, task: str, others: tuple[str, ...] = ()) -> dict[str, str]:
    """Columns that give the label away -> how.

    Args:
        table: The table.
        label: Column to predict.
        task: Classification or regression.
        others: Columns to leave aside: the key and such.
    """
    import pyarrow.compute as pc

    rows = table.sample.filter(pc.is_valid(table.sample[label]))
    if len(rows) < MIN_ROWS:
        return {}
    found = {}
    for name, column in table.columns.items():
        if (
            name == label
            or name in others
            or column.distinct + column.nullable < 2
            or column.kind in ("array", "sequence", "image")
        ):
            continue
        if task == "regression" and column.kind in ("integer", "number") and _same_order(rows, name, label):
            found[name] = f"orders the rows just as {label} does"
        few = column.distinct <= len(rows) / ROWS_OF_A_VALUE
        if task == "classification" and few and _determines(rows, name, label):
            found[name] = f"has one {label} for each of its values"
    return found


def _same_order(rows: "pa.Table", name: str, label: str) -> bool:
    pair = rows.select([name, label]).to_pandas().dropna()
    if len(pair) < MIN_ROWS or pair[name].nunique() < MIN_ROWS / 2:
        return False
    return bool(abs(pair[name].corr(pair[label], method="spearman")) > SAME_ORDER)


def _determines(rows: "pa.Table", name: str, label: str) -> bool:
    """Whether all rows of each value (and those without one) are of one class."""
    grouped = rows.select([name, label]).group_by(name).aggregate([(label, "count_distinct")])
    return bool(len(grouped) > 1 and max(grouped[f"{label}_count_distinct"].to_pylist()) == 1)
