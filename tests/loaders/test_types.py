"""Types of Parquet, Arrow and JSON columns that are rare: kept, or refused with file, row and value."""

import json
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader

ROWS = 60


def written(tmp_path, values, name="a.parquet", key=""):
    """The written values of a column `v`, in the order of the rows."""
    table = pa.table({"v": values, "id": range(ROWS), "x": [1.0, 2.5] * 30, "y": ["a", "b"] * 30})
    if name.endswith(".parquet"):
        pq.write_table(table, tmp_path / name)
    else:
        pyarrow.feather.write_feather(table, tmp_path / name)
    return of_file(tmp_path / name, tmp_path / "data", key)


def of_json(tmp_path, values):
    """The same for a JSON Lines file."""
    rows = [{"v": value, "id": i, "x": i / 2, "y": "ab"[i % 2]} for i, value in enumerate(values)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return of_file(tmp_path / "a.jsonl", tmp_path / "data")


def of_file(path, folder, key=""):
    LocalDataLoader(path, label="y", key=key).write(folder)
    table = pa.concat_tables(pq.read_table(folder / f"{split}.parquet") for split in SPLITS)
    return table.sort_by("id")["v"].to_pylist()


def test_times_beyond_microseconds_are_refused(tmp_path):
    """A count of seconds that overflows microseconds was another date."""
    with pytest.raises(DataError, match=r"row 1 \(counted from 0\): column 'v' has 10000000000000000,"):
        written(tmp_path, pa.array([0, 10**13] * 30, pa.timestamp("s")))


def test_nanoseconds_of_a_day_are_cut_off(tmp_path):
    found = written(tmp_path, pa.array([10**9 * i + 1 for i in range(ROWS)], pa.time64("ns")))
    assert [time.second for time in found] == list(range(60)) and not any(t.microsecond for t in found)


def test_a_key_beyond_int64_is_text(tmp_path):
    keys = [2**64 - 1 - i for i in range(ROWS)]
    assert written(tmp_path, pa.array(keys, pa.uint64()), key="v") == list(map(str, keys))


def test_run_ends_are_decoded(tmp_path):
    values = [1] * 20 + [2] * 40
    assert written(tmp_path, pa.compute.run_end_encode(pa.array(values)), "a.feather") == values


def test_objects_without_fields_are_text(tmp_path):
    """Parquet has no struct without fields."""
    assert of_json(tmp_path, [{}] * ROWS) == ["{}"] * ROWS


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([1.5, True] * 30, "row 1 .counted from 0.: column 'v' has True, and float in the rows before"),
        ([1, True] * 30, "row 1 .counted from 0.: column 'v' has True, and int in the rows before"),
        ([1.5, 2**53 + 1] * 30, "row 1 .counted from 0.: column 'v' has 9007199254740993"),
        ([{"a": 1}, {"a": "b"}] * 30, "column 'v' has no one type"),
        ([[True, 2]] * ROWS, "column 'v' has no one type"),
        (["a", "\ud800"] * 30, "column 'v' has no one type"),
    ],
)
def test_values_of_json_without_one_type_are_named(tmp_path, values, named):
    """Neither true as 1.0 nor a rounded integer, and no traceback."""
    with pytest.raises(DataError, match=named):
        of_json(tmp_path, values)


def test_a_column_of_prepare_has_text_as_its_name(tmp_path):
    pq.write_table(pa.table({"id": range(ROWS), "y": ["a", "b"] * 30}), tmp_path / "a.parquet")
    made = LocalDataLoader(
        tmp_path / "a.parquet",
        label="y",
        prepare=lambda rows: rows.join(rows[["id"]].rename(columns={"id": 0})),
    )
    with pytest.raises(DataError, match="returned a column named 0"):
        made.load("train")


def test_an_index_is_left_out_only_where_pandas_says_that_it_is_one(tmp_path):
    """A CSV may have a column of that name: it is written and comes back."""
    frame = pd.DataFrame({"id": range(ROWS), "y": ["a", "b"] * 30}, index=range(5, 5 + ROWS)).loc[::-1]
    frame.to_parquet(tmp_path / "a.parquet", index=True)
    assert LocalDataLoader(tmp_path / "a.parquet", label="y").source.rows.schema.names == ["id", "y"]
    frame.assign(__index_level_0__=[1, 2] * 30).to_csv(tmp_path / "a.csv", index=False)
    LocalDataLoader(tmp_path / "a.csv", label="y").write(tmp_path / "data")
    assert "__index_level_0__" in LocalDataLoader(tmp_path / "data", label="y").load("train")


def test_a_broken_file_is_named(tmp_path):
    """The footer is whole, and the values are not."""
    written(tmp_path, list(range(ROWS)))
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:50] + bytes(200) + content[250:])
    with pytest.raises(DataError, match=r"a.parquet cannot be read as parquet"):
        LocalDataLoader(tmp_path / "a.parquet", label="y").load("train")


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("gap", [-999, -999.0])
def test_a_number_that_means_a_missing_value(tmp_path, kind, gap):
    """missing_values: ["-999"] holds for numbers in every format, whatever their type."""
    more = 0.5 if isinstance(gap, float) else 1
    frame = pd.DataFrame({"id": range(ROWS), "v": [gap, more, 2] * 20, "y": ["a", "b"] * 30})
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    made = LocalDataLoader(path, label="y", missing_values=("?", "-999"))
    found = pd.concat([made.load(split) for split in SPLITS]).sort_values("id")["v"]
    assert found.dtype == float and found.isna().tolist() == [True, False, False] * 20
    assert set(found.dropna()) == {more, 2.0}


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_objects_of_the_reference_that_lost_their_form_are_refused(tmp_path, name):
    """Arrow adds a null for an absent field, so a right tool call counted as wrong; JSON text keeps each object."""
    calls = [[{"name": "add", "args": {"a": 1}}], [{"name": "find", "args": {"query": "x"}}], [], None] * 15

    def write(values):
        written_as = tmp_path / name
        table = pa.table({"calls": values, "x": range(ROWS), "y": ["a", "b"] * 30})
        (pq.write_table if name == "a.parquet" else pyarrow.feather.write_feather)(table, written_as)
        LocalDataLoader(written_as, label="y", reference_columns=("calls",)).write(tmp_path / "data")
        return pq.read_table(tmp_path / "data" / "train.parquet")["calls"].to_pylist()

    with pytest.raises(
        DataError,
        match=r"row \d+ \(counted from 0\): an object of column 'calls' has null as '(a|query)'.*JSON text",
    ):
        write(calls)
    alike = [[{"name": "add", "args": {"a": 1}}], [], None] * 20
    assert set(map(repr, write(alike))) == set(map(repr, alike[:3]))
    as_text = [None if one is None else json.dumps(one) for one in calls]
    assert set(write(as_text)) <= set(as_text)


def test_integers_with_gaps_keep_their_digits_on_the_way_through_prepare(tmp_path):
    """As floats, ids such as 1234567890123456789 and ...790 are one; prepare would add up two customers."""
    ids = [None if i % 10 == 3 else 1234567890123456789 + i // 2 for i in range(200)]
    pq.write_table(pa.table({"id": ids, "x": range(200), "y": ["a", "b"] * 100}), tmp_path / "a.parquet")
    made = LocalDataLoader(
        tmp_path / "a.parquet",
        label="y",
        key="id",
        prepare=lambda rows: (
            rows.dropna(subset=["id"]).groupby("id", as_index=False).agg({"x": "sum", "y": "max"})
        ),
    )
    found = {one for split in SPLITS for one in made.load(split)["id"]}
    assert found == {one for one in ids if one}


@pytest.mark.parametrize(
    "values", [[Decimal(12345678901234567890 + i % 9) for i in range(ROWS)], [2.0**60] * ROWS]
)
def test_a_category_of_numbers_that_floats_merge_is_refused(tmp_path, values):
    pq.write_table(pa.table({"v": values, "x": range(ROWS), "y": ["a", "b"] * 30}), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"'v' is a category of numbers beyond 2\*\*53.* Store the column as text"
    ):
        LocalDataLoader(tmp_path / "a.parquet", label="y", kinds={"v": "category"}).write(tmp_path / "data")
    LocalDataLoader(tmp_path / "a.parquet", label="y").write(tmp_path / "data")
