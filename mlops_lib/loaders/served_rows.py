"""The rows of the source that a service takes where ``data.prepare`` travels with the model."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlops_lib import files, plugins
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.json_rows import example_rows, json_value
from mlops_lib.columns.schema import TEXT_TYPES, Column, Role, Schema
from mlops_lib.columns.source_rows import SENDABLE, SourceRows
from mlops_lib.errors import DataError
from mlops_lib.loaders import row_wise
from mlops_lib.loaders.base import SOURCE_ROWS_FILE, BaseDataLoader, to_table
from mlops_lib.loaders.row_checks import Prepare
from mlops_lib.loaders.row_wise import LONE_ROWS, SAMPLE_ROWS, FeaturesOf
from mlops_lib.settings import DataSettings, Settings

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE_ROWS = 5
#: Time for a check that nothing depends on.
MAX_CHECK_S = 5.0


def write(settings: Settings, loader: BaseDataLoader, schema: Schema, folder: Path) -> str:
    """Check whether ``data.prepare`` is row-wise; with ``data.served_rows: raw``, write the file that training reads.

    Args:
        settings: ``data.prepare`` and ``data.served_rows`` are read.
        loader: The loader that has read the rows.
        schema: Of the prepared rows.
        folder: Folder of the prepared dataset.

    Returns:
        What was found, for people; "" without ``data.prepare``.

    Raises:
        DataError: The setting is ``raw``, and ``data.prepare`` is not row-wise, or a row of the source has no JSON form.
    """
    data = settings.data
    if not data.prepare or data.loader == "feature_store":
        return ""
    if data.served_rows == "raw" and (found := [n for n, kind in schema.kinds.items() if kind == "image"]):
        raise DataError(
            f"data.served_rows: raw: {found[0]!r} is a column of images, which a request has in other forms than the source. "
            "Set data.served_rows: prepared."
        )
    features_of = FeaturesOf(plugins.load("prepare", data.prepare), tuple(schema.features.values()))
    if data.served_rows == "prepared":
        return f"data.prepare ({data.prepare}) {_on_first_rows(features_of, loader)}"
    frame = loader.source_frame()
    some = row_wise.sample(frame, SAMPLE_ROWS)
    if why := row_wise.reason(features_of, some):
        raise _refused(data.prepare, why)
    unread, constants = row_wise.unneeded(features_of, some.reset_index(drop=True))
    rows = _source_rows(data, frame, schema, unread, constants)
    if (why := _reason(rows, features_of, frame, settings.root)) and constants:  # a rare row depends on one
        rows = _source_rows(data, frame, schema, unread, {})
        why = _reason(rows, features_of, frame, settings.root)
    if why:
        raise _refused(data.prepare, why)
    made = rows.features_of_example(features_of.prepare)
    rows = replace(rows, made=made, code_sha256=code_sha256(data.prepare, settings.root))
    with files.replacing(folder / SOURCE_ROWS_FILE) as partial:
        partial.write_text(json.dumps(rows.to_dict(), ensure_ascii=False), encoding="utf-8")
    others = [one.name for one in rows.schema.columns if one.role != "feature"]
    left = f" No feature depends on {', '.join(others)}: a row may leave them out." if others else ""
    return (
        f"data.prepare ({data.prepare}) travels with the model: the features of all {len(frame):,} rows are the same in the "
        f"service. A request has the columns of the source: {', '.join(rows.schema.features)}.{left}"
    )


def _on_first_rows(features_of: FeaturesOf, loader: BaseDataLoader) -> str:
    try:
        frame = loader.source_frame(SAMPLE_ROWS)
    except DataError:  # a loader of the user's own need not show its source
        return "makes the rows of the dataset. A request has the columns that it returns."
    if why := row_wise.reason(features_of, frame, MAX_CHECK_S):
        return f"is not row-wise: {why}. A request has the columns that it returns."
    return (
        f"is row-wise on {len(frame):,} rows that were tried. A request has the columns that it returns; with "
        "data.served_rows: raw it has those of the source."
    )


def _refused(prepare: str, why: str) -> DataError:
    return DataError(
        f"data.served_rows: raw needs a data.prepare that makes each row from one row of the source. {prepare} is not "
        f"row-wise: {why}. Do this work in the source (in a query, say), or set data.served_rows: prepared: callers then "
        "send the columns that it returns."
    )


def _source_rows(
    data: DataSettings,
    frame: "pd.DataFrame",
    schema: Schema,
    unread: Sequence[str],
    constants: Mapping[str, Any],
) -> SourceRows:
    roles: dict[str, Role] = {
        one.name: one.role for one in schema.columns if one.role not in ("feature", "ignored")
    }
    columns = {}
    for one in infer(to_table(frame), Declared("", missing=data.missing_values)).columns:
        needed = one.name not in unread and one.name not in constants
        columns[one.name] = _column(one, frame, "feature" if needed else roles.get(one.name, "unused"))
    source = Schema(tuple(columns.values()))
    values = {name: json_value(value, columns[name]) for name, value in constants.items()}
    example = example_rows(frame.head(EXAMPLE_ROWS), source)
    return SourceRows(data.prepare, source, values, tuple(schema.features.values()), example)


def _column(column: Column, frame: "pd.DataFrame", role: Role) -> Column:
    """A column of the source, with the values that ``data.prepare`` gets, whatever they mean."""
    if column.stored in (*TEXT_TYPES, "null"):
        return replace(column, kind="text", role=role, stored="string")
    if role == "feature" and not column.stored.startswith(SENDABLE):
        raise DataError(
            f"data.served_rows: raw: data.prepare reads the column {column.name!r} of the source. Its values are "
            f"{column.stored}, which a row of a request does not have. Leave it out in the source, or set data.served_rows: "
            "prepared."
        )
    gaps = column.stored in ("int64", "bool") and str(frame[column.name].dtype) not in ("int64", "bool")
    return replace(column, role=role, nullable=column.nullable or gaps)


def _reason(rows: SourceRows, features_of: FeaturesOf, frame: "pd.DataFrame", root: Path) -> str:
    """Why the features of some row differ in the service; "" if none do."""
    anew, _ = _imported_anew(rows.prepare, root)

    def from_json(part: "pd.DataFrame") -> "pd.DataFrame":
        return rows.prepared(anew, example_rows(part, rows.schema))

    def served(part: "pd.DataFrame") -> "pd.DataFrame":
        return rows.prepared(features_of.prepare, part)

    some = row_wise.sample(frame, LONE_ROWS)
    return row_wise.reason_in_parts(features_of, served, frame) or row_wise.reason_in_parts(
        features_of, from_json, some, parts=len(some)
    )


def code_sha256(prepare: str, root: Path) -> str:
    """The digest of the project's modules that ``data.prepare`` imports, as they are on disk.

    Args:
        prepare: ``package.module:function``.
        root: The project's folder.
    """
    _, modules = _imported_anew(prepare, root)
    return files.digest_of_folder(root.resolve(), (Path(str(one.__file__)).resolve() for one in modules))


def _imported_anew(prepare: str, root: Path) -> tuple[Prepare, list[ModuleType]]:
    """``data.prepare`` of the project's modules imported once more: they keep nothing of an earlier call, as in a service."""
    own = _own(root.resolve())
    for name in own:
        del sys.modules[name]
    try:
        return plugins.load("prepare", prepare), list(_own(root.resolve()).values())
    finally:
        sys.modules.update(own)


def _own(root: Path) -> dict[str, ModuleType]:
    return {name: one for name, one in sys.modules.copy().items() if _is_own(name, one, root)}


def _is_own(name: str, module: object, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    if not file or name == "__main__" or name.partition(".")[0] == "mlops_lib":
        return False
    if not _resolved(os.path.dirname(file)).is_relative_to(root):
        return False
    return root in (path := Path(file).resolve()).parents and "site-packages" not in path.parts


@cache
def _resolved(folder: str) -> Path:
    # A notebook has thousands of modules, in hundreds of folders.
    return Path(folder).resolve()
