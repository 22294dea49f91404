"""Any table, in any formats, order and number of files: no row lost or doubled, order kept, one type, the same split."""

import datetime as dt
import json
import math
import string
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_lib.columns.text import text_of
from mlops_lib.errors import DataError
from mlops_lib.loaders import rows as stored
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.formats import delimited

# Line ends inside text are read as they are by every reader but Python's own text files.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\x00"),
    min_size=1,
    max_size=8,
)
NAMES = st.text(string.ascii_letters + "éß가나 _-", min_size=1, max_size=6).filter(
    lambda name: name.strip() == name
)
VALUES = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=True, width=64),
    "boolean": st.booleans(),
    "text": TEXT.map(lambda text: "x" + text),
    "odd": st.sampled_from(
        ["007", "7", "1E2", "NA", "None", "null", "true", " a", "+1", 'say "no"', "a,b;c|d", "가,나"]
    ),
    "time": st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2090, 1, 1)),
}
KEYS = {
    "numeral": st.sampled_from(["1E2", "100", "1.0", "7", "0.5"]),
    "integer": st.integers(0, 10**6),
    "text": st.sampled_from(["007", "7", "1E2", "100", "NA", "A7"]).flatmap(
        lambda text: st.integers(0, 9**6).map(lambda i: f"{text}-{i}" if i % 3 else text)
    ),
}
FORMATS = ("csv", "tsv", "parquet", "jsonl", "json", "feather")


@st.composite
def tables(draw):
    """A table: columns of one kind each with gaps, a key and a label."""
    rows = draw(st.integers(1, 25))
    names = draw(st.lists(NAMES, unique_by=str.lower, max_size=5))
    names = [name for name in names if name.lower() not in ("id", "y")]
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(list(VALUES)))
        values = st.none() | VALUES[kind] if draw(st.booleans()) else VALUES[kind]
        columns[name] = draw(st.lists(values, min_size=rows, max_size=rows))
        if kind == "odd":  # so that a CSV file has text for certain, as the other formats have
            columns[name][0] = "x"
    columns["id"] = draw(st.lists(KEYS[draw(st.sampled_from(list(KEYS)))], min_size=rows, max_size=rows))
    columns["y"] = draw(st.lists(st.sampled_from(["yes", "no"]), min_size=rows, max_size=rows))
    return pa.table(columns)


@st.composite
def layouts(draw, rows):
    """The rows of each file, and its format."""
    edges = sorted(draw(st.lists(st.integers(0, rows), max_size=3)))
    spans = list(zip([0, *edges], [*edges, rows], strict=True))
    return [
        (span, draw(st.sampled_from(FORMATS)), draw(st.permutations(range(2))))
        for span in spans
        if span[1] > span[0]
    ]


def write(table, path):
    kind = path.suffix[1:]
    if kind in ("csv", "tsv"):
        separator = "\t" if kind == "tsv" else ","
        frame = table.to_pandas(integer_object_nulls=True, timestamp_as_object=True)
        for name in frame:
            frame[name] = frame[name].map(_cell)
        frame.to_csv(path, index=False, sep=separator)
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=4)
    elif kind == "feather":
        pyarrow.feather.write_feather(table, path, chunksize=3)
    else:
        rows = [{name: _json(value) for name, value in row.items()} for row in table.to_pylist()]

        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]", encoding="utf-8")


def _cell(value):
    """As a program writes it: text, repr of a float, true or false, ISO; empty for none."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)


def _json(value):
    return value.isoformat() if isinstance(value, dt.datetime) else value


def written(table, layout, folder):
    for number, ((first, last), kind, turned) in enumerate(layout):
        part = table.slice(first, last - first)
        names = part.column_names if turned[0] == 0 else part.column_names[::-1]
        write(part.select(names), folder / f"{number}.{kind}")


def _value(value):
    """A value that compares equal in every representation."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, dt.datetime):
        return pd.Timestamp(value).isoformat()
    return value


def found(dataset, split):
    """The rows of a split as written to Parquet: list of dicts."""
    parts = [part for _, part in dataset.source.tables(only=split)]
    return [row for part in parts for row in part.to_pylist()]


@pytest.mark.slow
@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_table_is_read_whole_typed_once_and_split_the_same(data):
    """Against the rows that were drawn: values, order, one type a column; the split against one Parquet file."""
    table = data.draw(tables())
    layout = data.draw(layouts(len(table)))
    small = delimited.BLOCK_BYTES, stored.PART_VALUES
    delimited.BLOCK_BYTES, stored.PART_VALUES = (
        data.draw(st.sampled_from([256, 4096])),
        data.draw(st.integers(5, 60)),
    )
    try:
        with tempfile.TemporaryDirectory() as name:
            folder, one = Path(name) / "many", Path(name) / "one.parquet"
            folder.mkdir()
            written(table, layout, folder)
            pq.write_table(table, one)
            many, single = (LocalDataLoader(path, label="y", key="id") for path in (folder, one))
            wanted = {
                split: [{n: _value(v) for n, v in row.items()} for row in found(single, split)]
                for split in SPLITS
            }
            got = {split: found(many, split) for split in SPLITS}
            text_times = _text_times(table, layout)
            for split in SPLITS:
                rows = [
                    {
                        n: _iso(_value(v)) if n in text_times else _as(table, n, _value(v))
                        for n, v in row.items()
                    }
                    for row in got[split]
                ]
                expected = [
                    {n: text_of(v) if n == "id" else v for n, v in row.items()} for row in wanted[split]
                ]
                assert [{**row, "id": text_of(row["id"])} for row in rows] == [
                    {n: row[n] for n in rows[0]} if rows else row for row in expected
                ]
            assert sum(map(len, got.values())) == len(table)
            kinds = {str(part.schema) for _, part in many.source.tables()}
            assert len(kinds) == 1
    finally:
        delimited.BLOCK_BYTES, stored.PART_VALUES = small


def _text_times(table, layout):
    """Columns of times that no file has as times: text in CSV and JSON alone."""
    typed = any(kind in ("parquet", "feather") for _, kind, _ in layout)
    return [] if typed else [field.name for field in table.schema if pa.types.is_timestamp(field.type)]


def _iso(value):
    return None if value is None else pd.Timestamp(value).isoformat()


def _as(table, name, value):
    """The value in the type of the drawn column: a float column of whole numbers may be read as integers."""
    kind = table.schema.field(name).type
    return float(value) if pa.types.is_floating(kind) and value is not None else value


@pytest.mark.slow
@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_error_names_the_place_of_any_row(data):
    """A row with a cell too many, by file and line; a row without a label, by its position over all files."""
    table = data.draw(tables())
    layout = [(span, "csv", turned) for span, _, turned in data.draw(layouts(len(table)))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at = data.draw(st.integers(0, len(table) - 1))
        labels = table["y"].to_pylist()
        labels[at] = None
        position = table.column_names.index("y")
        written(table.set_column(position, "y", pa.array(labels, pa.string())), layout, folder)
        with pytest.raises(DataError, match=rf"1 rows have no 'y'; the first are rows {at}, counted from 0"):
            LocalDataLoader(folder, label="y", key="id").load("train")
        number = data.draw(st.integers(0, len(layout) - 1))
        lines = (folder / f"{number}.csv").read_text(encoding="utf-8").split("\n")
        line = data.draw(st.integers(2, len(lines) - 1))
        lines[line - 1] += ",1"
        (folder / f"{number}.csv").write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(DataError, match=rf"{number}\.csv, line {line}: \d+ cells, and the header has"):
            LocalDataLoader(folder, label="y", key="id").load("train")
