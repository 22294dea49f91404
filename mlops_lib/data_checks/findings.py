"""Find the rows of a dataset that break ``data.checks``, part by part,
so that no split needs to fit into memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.data_checks.readable import require_readable
from mlops_lib.data_checks.rules import failures
from mlops_lib.data_checks.uniqueness import Repeated
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.settings import CheckSettings, ColumnCheck

if TYPE_CHECKING:
    import pandas as pd

#: Findings in one split after which the rest of its rows is not read; the run stops anyway.
MAX_FINDINGS = 100_000


def findings(dataset: BaseDataLoader, checks: CheckSettings) -> "tuple[pd.DataFrame, int, bool]":
    """Check all rows of a dataset, which has the columns of all rules.

    Returns:
        The findings, each with its whole row; the number of rows read; whether these are all findings.

    Raises:
        DataError: A rule cannot apply to its column.
    """
    import pandas as pd

    alone, unique = _apart(checks)
    found, rows, complete = [], 0, True
    with ExitStack() as stack:
        # Shared by the splits: a unique value may not be in train and again in test.
        once = [(stack.enter_context(Repeated(names)), rule) for names, rule in unique]
        for split in SPLITS:
            broken, seen, whole = _of_split(dataset, split, checks, alone, [repeated for repeated, _ in once])
            rows, complete = rows + seen, complete and whole
            found.append(broken)
        if complete:
            found += [_twice(seen, dataset, rule) for seen, rule in once if len(seen.hashes)]
    complete = complete and all(len(broken) < MAX_FINDINGS for broken in found)
    every = pd.concat([item for item in found if len(item)] or found[:1], ignore_index=True)
    in_order = every.sort_values(["split", "row", "column"], kind="stable", key=_in_order, ignore_index=True)
    return in_order, rows, complete


def _in_order(column: "pd.Series") -> "pd.Series":
    return column.map(SPLITS.index) if column.name == "split" else column


def _of_split(
    dataset: BaseDataLoader, split: Split, checks: CheckSettings, alone: CheckSettings, once: list[Repeated]
) -> "tuple[pd.DataFrame, int, bool]":
    """Check the rules of single rows in one split, and show every row that is read to each of `once`.

    Returns:
        As `findings`.
    """
    import pandas as pd

    found: list[pd.DataFrame] = []
    rows = 0
    for part in dataset.parts(split):
        if not found:
            require_readable(part, checks)
        found.append(_placed(failures(part, alone), part, np.arange(rows, rows + len(part))))
        for repeated in once:
            repeated.see(part)
        rows += len(part)
        if sum(map(len, found)) >= MAX_FINDINGS:
            break
    every = pd.concat([item for item in found if len(item)] or found[:1], ignore_index=True)
    every.insert(0, "split", split)
    return every, rows, len(every) < MAX_FINDINGS


def _apart(checks: CheckSettings) -> tuple[CheckSettings, list[tuple[list[str], CheckSettings]]]:
    """Rules about single rows, and rules of uniqueness with their columns."""
    alone = {name: check.model_copy(update={"unique": False}) for name, check in checks.columns.items()}
    unique = [
        ([name], CheckSettings(columns={name: ColumnCheck(unique=True, nullable=True)}))
        for name, check in checks.columns.items()
        if check.unique
    ]
    if checks.unique:
        unique.append((list(checks.unique), CheckSettings(unique=checks.unique)))
    return CheckSettings(columns=alone), unique


def _twice(repeated: Repeated, dataset: BaseDataLoader, rule: CheckSettings) -> "pd.DataFrame":
    """Findings of one rule of uniqueness: reads the rows again,
    and keeps only those whose hash occurs twice."""
    import pandas as pd

    suspects: list[pd.DataFrame] = []
    at: list[np.ndarray] = []
    splits: list[Split] = []
    for split, first_row, part in _every_part(dataset):
        again = np.flatnonzero(repeated.among(part))
        suspects.append(part.iloc[again])
        at.append(again + first_row)
        splits += [split] * len(again)
        if len(splits) >= MAX_FINDINGS:
            break
    rows, positions = pd.concat(suspects, ignore_index=True), np.concatenate(at)
    if len(rows) < MAX_FINDINGS:
        broken = failures(rows, rule)
    else:  # the rows that equal these may be among those not read
        text = rows[repeated.columns].astype(str).agg(", ".join, axis=1)
        names = ", ".join(repeated.columns)
        cases = {"row": np.arange(len(rows)), "column": names, "rule": "unique", "value": text}
        broken = pd.DataFrame(cases).astype({"row": "Int64"})
    placed = _placed(broken, rows, positions)
    placed.insert(0, "split", [splits[i] for i in broken["row"]])
    return placed


def _every_part(dataset: BaseDataLoader) -> "Iterator[tuple[Split, int, pd.DataFrame]]":
    """All rows part by part: split, position of the first row in the split, rows."""
    for split in SPLITS:
        position = 0
        for part in dataset.parts(split):
            yield split, position, part
            position += len(part)


def _placed(broken: "pd.DataFrame", part: "pd.DataFrame", positions: np.ndarray) -> "pd.DataFrame":
    """Findings in a part, with positions in the whole split, each with its whole row."""
    import pandas as pd

    if broken.empty:
        return broken
    at = broken["row"].to_numpy(dtype=int)
    whole = part.iloc[at].add_prefix("row.").reset_index(drop=True)
    moved = broken.assign(row=pd.array(positions[at], dtype="Int64"))
    return pd.concat([moved.reset_index(drop=True), whole], axis=1)
