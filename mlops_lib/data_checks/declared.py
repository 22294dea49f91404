"""The declared schema of a dataset (``data.checks``), held against its rows with Pandera."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib import loaders, tracking
from mlops_lib.data_checks.uniqueness import Repeated
from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS, BaseDataLoader, Split
from mlops_lib.settings import CheckSettings, ColumnCheck, Settings

if TYPE_CHECKING:
    import pandas as pd

#: Under the run that a failed check belongs to; one line a broken rule, with the row it is broken by.
ARTIFACT = "checks/failing_rows.csv"
LISTED = 10
#: Findings in one split after which its rows are not read on; the run stops anyway.
KEPT = 100_000
#: Seconds after which nobody is still writing to a folder of rows that were not checked.
LEFT_S = 86_400.0
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
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".unchecked-*"):  # of a process that was killed
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_S:
                shutil.rmtree(left, ignore_errors=True)
    # Of its own: a search, an evaluation and a notebook may write the same folder at once.
    aside = Path(tempfile.mkdtemp(dir=folder, prefix=".unchecked-"))
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

    every, rows, complete = _findings(dataset, settings.data.checks)
    if every.empty:
        return rows
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
        f"{'' if complete else 'At least '}{count} of {rows} rows break data.checks (rows of a split are counted "
        "from 0):\n" + "\n".join(lines) + f"{more}\nAll of them: {where}"
    )


def _findings(dataset: BaseDataLoader, checks: CheckSettings) -> "tuple[pd.DataFrame, int, bool]":
    """Findings, each beside its whole row; how many rows were read; whether these are all findings."""
    import pandas as pd

    schema = dataset.schema
    alone, unique = _apart(checks, [schema.key, *schema.features, schema.label])
    found, rows, complete = [], 0, True
    with ExitStack() as stack:
        # One of each for all splits: what must come once may not come in train and again in test.
        once = [(stack.enter_context(Repeated(names)), rule) for names, rule in unique]
        for split in SPLITS:
            broken, seen, whole = _of_split(dataset, split, checks, alone, [repeated for repeated, _ in once])
            rows, complete = rows + seen, complete and whole
            found.append(broken)
        if complete:
            found += [_twice(seen, dataset, rule) for seen, rule in once if len(seen.hashes)]
    complete = complete and all(len(broken) < KEPT for broken in found)
    every = pd.concat([item for item in found if len(item)] or found[:1], ignore_index=True)
    in_order = every.sort_values(["split", "row", "column"], kind="stable", key=_in_order, ignore_index=True)
    return in_order, rows, complete


def _in_order(column: "pd.Series") -> "pd.Series":
    return column.map(SPLITS.index) if column.name == "split" else column


def _of_split(
    dataset: BaseDataLoader, split: Split, checks: CheckSettings, alone: CheckSettings, once: list[Repeated]
) -> "tuple[pd.DataFrame, int, bool]":
    """Findings of single rows, each beside its whole row; how many rows were read; whether these are all findings.

    Each of `once` sees all rows that are read.
    """
    import pandas as pd

    found: list[pd.DataFrame] = []
    rows = 0
    for part in dataset.parts(split):
        if not found:
            found.append(failures(part.head(0), checks))
        found.append(_placed(failures(part, alone), part, np.arange(rows, rows + len(part))))
        for repeated in once:
            repeated.see(part)
        rows += len(part)
        if sum(map(len, found)) >= KEPT:
            break
    every = pd.concat([item for item in found if len(item)] or found[:1], ignore_index=True)
    every.insert(0, "split", split)
    return every, rows, len(every) < KEPT


def _apart(
    checks: CheckSettings, columns: list[str]
) -> tuple[CheckSettings, list[tuple[list[str], CheckSettings]]]:
    """Rules that a row keeps or breaks by itself, and each rule of uniqueness; both for columns that are there."""
    here = {name: check for name, check in checks.columns.items() if name in columns}
    alone = {name: check.model_copy(update={"unique": False}) for name, check in here.items()}
    unique = [
        ([name], CheckSettings(columns={name: ColumnCheck(unique=True, nullable=True)}))
        for name, check in here.items()
        if check.unique
    ]
    if together := tuple(name for name in checks.unique if name in columns):
        unique.append((list(together), CheckSettings(unique=together)))
    return CheckSettings(columns=alone), unique


def _twice(repeated: Repeated, dataset: BaseDataLoader, rule: CheckSettings) -> "pd.DataFrame":
    """Findings of one rule of uniqueness, from a second reading that keeps only the rows in question."""
    import pandas as pd

    suspects: list[pd.DataFrame] = []
    at: list[np.ndarray] = []
    splits: list[Split] = []
    for split, first_row, part in _every_part(dataset):
        again = np.flatnonzero(repeated.among(part))
        suspects.append(part.iloc[again])
        at.append(again + first_row)
        splits += [split] * len(again)
        if len(splits) >= KEPT:
            break
    rows, positions = pd.concat(suspects, ignore_index=True), np.concatenate(at)
    if len(rows) < KEPT:
        broken = failures(rows, rule)
    else:  # their like may come later, where nobody looks any more
        text = rows[repeated.columns].astype(str).agg(", ".join, axis=1)
        names = ", ".join(repeated.columns)
        cases = {"row": np.arange(len(rows)), "column": names, "rule": "unique", "value": text}
        broken = pd.DataFrame(cases).astype({"row": "Int64"})
    placed = _placed(broken, rows, positions)
    placed.insert(0, "split", [splits[i] for i in broken["row"]])
    return placed


def _every_part(dataset: BaseDataLoader) -> "Iterator[tuple[Split, int, pd.DataFrame]]":
    """All rows part by part, each with its split and the position of its first row there."""
    for split in SPLITS:
        position = 0
        for part in dataset.parts(split):
            yield split, position, part
            position += len(part)


def _placed(broken: "pd.DataFrame", part: "pd.DataFrame", positions: np.ndarray) -> "pd.DataFrame":
    """Findings in a part of a split with their positions in the split, each beside its whole row."""
    import pandas as pd

    if broken.empty:
        return broken
    at = broken["row"].to_numpy(dtype=int)
    whole = part.iloc[at].add_prefix("row.").reset_index(drop=True)
    moved = broken.assign(row=pd.array(positions[at], dtype="Int64"))
    return pd.concat([moved.reset_index(drop=True), whole], axis=1)


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
        if types.is_datetime64_any_dtype(column):
            return ~everything
        # A number could be seconds, or days, since any moment.
        number = column.map(lambda value: isinstance(value, Number)).astype(bool)
        return number | pd.to_datetime(column.where(~number), errors="coerce").isna()
    if types.is_bool_dtype(column) or types.is_datetime64_any_dtype(column):
        return everything
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna()
    if not wrong.any() and types.infer_dtype(column, skipna=True) == "string":
        return everything
    return wrong | (numbers % 1 != 0) if kind == "integer" else wrong
