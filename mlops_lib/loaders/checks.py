"""The declared schema of a dataset (``data.checks``), held against its rows with Pandera."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import loaders, tracking
from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS, BaseDataLoader
from mlops_lib.settings import CheckSettings, ColumnCheck, Settings

if TYPE_CHECKING:
    import pandas as pd

#: Under the run that a failed check belongs to; one line a broken rule, with the row it is broken by.
ARTIFACT = "checks/failing_rows.csv"
LISTED = 10
FINDINGS = ["split", "row", "column", "rule", "value"]


def write(
    settings: Settings, dataset: BaseDataLoader, folder: Path, limit: int = 0, run_id: str = ""
) -> dict[str, int]:
    """Write a dataset to `folder` if it passes; otherwise what lay there before stays.

    Args:
        settings: ``data.checks`` is read.
        dataset: What to write.
        folder: Where to.
        limit: Rows of each split; 0 means all.
        run_id: See `require`.

    Returns:
        Rows written of each split.

    Raises:
        DataError: See `require`.
    """
    aside = folder / ".unchecked"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        rows = dataset.write(aside, limit)
        require(settings, loaders.prepared(settings, aside), run_id)
        for file in aside.iterdir():
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rows


def require(settings: Settings, dataset: BaseDataLoader, run_id: str = "") -> int:
    """Check every split, and return how many rows were checked.

    Args:
        settings: ``data.checks`` is read.
        dataset: Rows to check.
        run_id: MLflow run that keeps the failing rows; empty: they are kept in the work folder.

    Raises:
        DataError: Rows break a rule; lists the first of them, and says where all of them are.
    """
    import pandas as pd

    checks, found, rows = settings.data.checks, [], 0
    for split in SPLITS:
        frame = dataset.load(split)
        rows += len(frame)
        broken = failures(frame, checks)
        if broken.empty:
            continue
        broken.insert(0, "split", split)
        known = broken["row"].notna()
        whole = frame.reindex(broken["row"].where(known, -1).astype(int)).reset_index(drop=True)
        found.append(pd.concat([broken.reset_index(drop=True), whole.add_prefix("row.")], axis=1))
    if not found:
        return rows
    every = pd.concat(found, ignore_index=True)
    where = tracking.keep_text(settings, run_id, every.to_csv(index=False), ARTIFACT)
    lines = [
        f"  {f.split} row {f.row}: {f.column} = {f.value!r} breaks '{f.rule}'"
        if pd.notna(f.row)
        else f"  {f.split}: {f.column} breaks '{f.rule}'"
        for f in every.head(LISTED).itertuples()
    ]
    more = f"\n  and {len(every) - LISTED} more" if len(every) > LISTED else ""
    count = every[["split", "row"]].drop_duplicates().shape[0]
    raise DataError(
        f"{count} of {rows} rows break data.checks (rows of a split are counted from 0):\n"
        + "\n".join(lines)
        + f"{more}\nAll of them: {where}"
    )


def failures(frame: "pd.DataFrame", checks: CheckSettings) -> "pd.DataFrame":
    """Every rule that a row of `frame` breaks: row (position, missing for a whole column), column, rule, value."""
    import pandas as pd
    import pandera.pandas as pa

    frame = frame.reset_index(drop=True)
    schema = pa.DataFrameSchema(
        {name: _column(check) for name, check in checks.columns.items()},
        unique=[name for name in checks.unique if name in frame.columns] or None,
    )
    missing = [(pd.NA, name, "column is there", pd.NA) for name in checks.unique if name not in frame.columns]
    try:
        schema.validate(frame, lazy=True)
        found = pd.DataFrame(columns=FINDINGS[1:])
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        absent = cases["check"] == "column_in_dataframe"
        found = pd.DataFrame(
            {
                "row": cases["index"],
                "column": cases["column"].where(~absent, cases["failure_case"]),
                "rule": cases["check"].replace(
                    {
                        "not_nullable": "not missing",
                        "field_uniqueness": "unique",
                        "multiple_fields_uniqueness": "unique together",
                        "column_in_dataframe": "column is there",
                    }
                ),
                "value": cases["failure_case"],
            }
        )
    if missing:
        found = pd.concat([found, pd.DataFrame(missing, columns=FINDINGS[1:])])
    found["row"] = found["row"].astype("Int64")
    return found.sort_values(["row", "column"], kind="stable").reset_index(drop=True)


def _column(check: ColumnCheck) -> Any:
    import pandas as pd
    import pandera.pandas as pa

    rules: list[Any] = []
    if kind := check.type:
        rules.append(pa.Check(lambda column: ~_not_of(kind, column), name=f"is {kind}"))
    if (low := check.min) is not None:
        rules.append(pa.Check(lambda c: ~(pd.to_numeric(c, errors="coerce") < low), name=f"min {low:g}"))
    if (high := check.max) is not None:
        rules.append(pa.Check(lambda c: ~(pd.to_numeric(c, errors="coerce") > high), name=f"max {high:g}"))
    if check.values:
        rules.append(pa.Check(lambda c: c.isin(check.values), name=f"one of {list(check.values)}"))
    return pa.Column(None, rules, nullable=check.nullable, unique=check.unique, required=True)


def _not_of(kind: str, column: "pd.Series") -> "pd.Series":
    """Which values are of another type. Text in a column of numbers: those that are no number, where any is."""
    import pandas as pd
    from pandas.api import types

    everything = pd.Series(True, index=column.index)
    if kind == "text":
        return ~column.map(lambda value: isinstance(value, str)).astype(bool)
    if kind == "boolean":
        return ~everything if types.is_bool_dtype(column) else ~column.isin([True, False]).astype(bool)
    if kind == "datetime":
        return ~everything if types.is_datetime64_any_dtype(column) else pd.to_datetime(column, errors="coerce").isna()  # fmt: skip
    if types.is_bool_dtype(column) or types.is_datetime64_any_dtype(column):
        return everything
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna()
    if not wrong.any() and types.infer_dtype(column, skipna=True) == "string":
        return everything
    return wrong | (numbers % 1 != 0) if kind == "integer" else wrong
