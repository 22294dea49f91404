"""Write and accept a dataset only if its rows satisfy the declared schema, ``data.checks``."""

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mlops_lib import loaders, tracking
from mlops_lib.columns.kinds import SAME
from mlops_lib.columns.schema import Schema
from mlops_lib.data_checks import label, named_columns
from mlops_lib.data_checks.findings import findings
from mlops_lib.errors import DataError
from mlops_lib.loaders import served_rows
from mlops_lib.loaders.base import SOURCE_ROWS_FILE, SPLITS, BaseDataLoader
from mlops_lib.loaders.origin import write_origin
from mlops_lib.settings import Settings

#: Artifact of the run whose data failed: one line for each broken rule, with the row that breaks it.
ARTIFACT = "checks/failing_rows.csv"
#: Findings that the error lists.
LISTED = 10
#: Age of a folder of unchecked rows from which its writer must be dead.
STALE_AFTER_S = 86_400.0


def write(
    settings: Settings, dataset: BaseDataLoader, folder: Path, limit: int = 0, run_id: str = ""
) -> dict[str, int]:
    """Write a dataset to `folder` if it passes the checks; otherwise the folder's old content stays.

    Args:
        settings: ``data.checks`` and ``evaluation.task`` are read; section `data` is stored beside the rows.
        dataset: Rows to write.
        folder: Folder to write to.
        limit: Most rows of each split; 0: all.
        run_id: See `require`.

    Returns:
        Rows written of each split.

    Raises:
        DataError: See `require`, `label.require` and `named_columns.require_slices`,
            `named_columns.require_metrics`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".unchecked-*"):  # of a writer that was killed
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)
    # A folder for each writer: a search, an evaluation and a notebook may write the same dataset at once.
    aside = Path(tempfile.mkdtemp(dir=folder, prefix=".unchecked-"))
    try:
        rows = dataset.write(aside, limit)
        write_origin(settings, dataset, aside, limit)
        written = loaders.prepared(settings, aside)
        _require_features(written.schema)
        named_columns.require_slices(settings, written.schema)
        named_columns.require_metrics(settings, written.schema)
        label.require(settings, written.schema, aside, is_whole=not limit)
        require(settings, written, run_id)
        said = served_rows.write(settings, dataset, written.schema, aside)
        (folder / SOURCE_ROWS_FILE).unlink(missing_ok=True)  # of an earlier run
        for file in aside.iterdir():
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    for one in written.schema.columns:
        is_key = one.role == "key" and any(how in one.reason for how in SAME)
        if "; they " in one.reason and (is_key or one.role in ("feature", "ignored", "label", "time")):
            print(f"WARNING: column {one.name!r}: {one.reason}")
    for doubt in dataset.doubts:
        print(f"WARNING: {doubt}")
    if said:
        print(said)
    return rows


def _require_features(schema: Schema) -> None:
    if not schema.features:
        why = "; ".join(
            f"{one.name}: {one.reason}" for one in schema.columns if one.role in ("ignored", "unused")
        )
        raise DataError(
            f"No column is left to learn from. {why or 'The data has none but key and label'}. Name a column in "
            "data.features to keep it."
        )


def require(settings: Settings, dataset: BaseDataLoader, run_id: str = "") -> int:
    """Check every split, and return the number of rows checked; rows are not read if no rule is declared.

    Args:
        settings: ``data.checks`` is read.
        dataset: Rows to check.
        run_id: MLflow run that the failing rows are logged to; empty: they are written to the work folder.

    Raises:
        DataError: A rule names a column that is not there; or rows break a rule: lists the first of them,
            and names the file with all of them.
    """
    if not settings.data.checks.columns and not settings.data.checks.unique:
        return sum(dataset.count(split) for split in SPLITS)
    named_columns.require_checked(settings, dataset.schema)
    every, rows, complete = findings(dataset, settings.data.checks)
    if every.empty:
        return rows
    where = tracking.keep_text(settings, run_id, every.to_csv(index=False), ARTIFACT)
    lines = [
        f"  {f.split} row {f.row}: {f.column} = {f.value!r} breaks '{f.rule}'"
        for f in every.head(LISTED).itertuples()
    ]
    more = f"\n  and {len(every) - LISTED} more" if len(every) > LISTED else ""
    count = every[["split", "row"]].drop_duplicates().shape[0]
    raise DataError(
        f"{'' if complete else 'At least '}{count} of {rows} rows break data.checks (rows of a split are counted "
        "from 0):\n" + "\n".join(lines) + f"{more}\nAll of them: {where}"
    )
