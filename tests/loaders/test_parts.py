"""Rows that come from disk part by part are those that `load` gives at once, in every use that is made of them."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_lib.data_checks import findings as checks
from mlops_lib.data_checks import uniqueness
from mlops_lib.errors import DataError
from mlops_lib.loaders import rows as stored
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.formats.data_file import data_file
from mlops_lib.settings import CheckSettings, ColumnCheck

ROWS = 997


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Some fifty rows in a part, so that every split has many."""
    monkeypatch.setattr(stored, "PART_VALUES", 250)


def write(folder, **columns):
    """The same rows as each split but for id and code, in three files of ragged row groups."""
    frame = pd.DataFrame({"id": np.arange(ROWS), "y": np.arange(ROWS) % 2, **columns})
    own = [name for name in ("id", "code") if name in frame]
    for number, split in enumerate(SPLITS):
        (folder / split).mkdir()
        for i, rows in enumerate(np.array_split(np.arange(ROWS), 3)):
            part = frame.iloc[rows]
            part.assign(**{name: part[name] + 10_000 * number for name in own}).to_parquet(
                folder / split / f"{i}.parquet", row_group_size=101, index=False
            )
    return frame


def pair(folder):
    """The loader that streams, and the one that holds everything."""
    return (LocalDataLoader(folder, label="y", key="id", streaming=s) for s in (True, False))


@pytest.mark.slow
def test_the_parts_together_are_the_rows_in_memory(tmp_path):
    """Values, types and order: a gap in the last file alone makes floats of integers in the first part too."""
    numbers = np.arange(ROWS)
    holed = pd.array([None if i == ROWS - 1 else i for i in numbers], dtype="Int64")
    write(
        tmp_path,
        whole=numbers,
        gap=pd.Series(numbers, dtype=float).where(numbers != ROWS - 1),
        nullable=holed,
        flag=pd.Series(numbers % 3 == 0, dtype=object).where(numbers != 5, None),
        day=pd.Timestamp("2026-01-01") + pd.to_timedelta(numbers, "D"),
        text=[f"é{i % 7}" for i in numbers],
        price=[Decimal(int(i)) / 4 for i in numbers],
    )
    disk, memory = pair(tmp_path)
    parts = list(disk.parts("test"))
    assert len(parts) > 10 and disk.schema == memory.schema
    assert len({tuple(part.dtypes) for part in parts}) == 1
    pd.testing.assert_frame_equal(pd.concat(parts), memory.load("test"))
    pd.testing.assert_frame_equal(disk.head("test", 120), memory.load("test").head(120))
    assert "frames" not in vars(disk.source)


@pytest.mark.slow
def test_one_large_file_is_not_held_as_a_whole(tmp_path, monkeypatch):
    """Arrow has a few row groups in memory at any time, whatever the file holds."""
    monkeypatch.setattr(stored, "PART_VALUES", 100_000)
    values = np.random.default_rng(0).standard_normal((10, 1_000_000))
    table = pa.table({f"f{i}": column for i, column in enumerate(values)})
    pq.write_table(table, tmp_path / "one.parquet", row_group_size=10_000, compression="none")
    before = pa.total_allocated_bytes()
    parts = stored.Rows([data_file(tmp_path / "one.parquet")]).tables()
    assert max(pa.total_allocated_bytes() - before for _ in parts) < table.nbytes / 10


def test_files_of_different_types_are_read_as_the_wider_one(tmp_path):
    """Integers and floats are floats in both files, numbers and text are text; booleans and text are an error."""
    for split in SPLITS:
        (tmp_path / split).mkdir()
        pq.write_table(pa.table({"a": [1, 2], "id": [1, 2], "y": [0, 1]}), tmp_path / split / "0.parquet")
        pq.write_table(pa.table({"y": [0], "id": [3], "a": [2.5]}), tmp_path / split / "1.parquet")
    disk, memory = pair(tmp_path)
    pd.testing.assert_frame_equal(pd.concat(disk.parts("train")), memory.load("train"))
    pq.write_table(pa.table({"y": [0], "id": [3], "a": ["x"]}), tmp_path / "train/1.parquet")
    assert next(pair(tmp_path)).load("train")["a"].tolist() == ["1", "2", "x"]
    pq.write_table(pa.table({"y": [0], "id": [3], "a": [True]}), tmp_path / "train/1.parquet")
    with pytest.raises(
        DataError,
        match=r"train/1\.parquet, row 0 \(counted from 0\): column 'a' has True, which does not fit its type int64",
    ):
        _ = next(pair(tmp_path)).schema
    pq.write_table(pa.table({"y": [0], "id": [3], "b": [2.5]}), tmp_path / "train/1.parquet")
    with pytest.raises(
        DataError, match=r"1\.parquet does not have the columns of .*: it lacks \['a'\] and adds \['b'\]"
    ):
        _ = next(pair(tmp_path)).schema


def test_written_parts_are_the_rows_and_a_limit_is_kept(tmp_path):
    """The written Parquet has the same rows; with a limit, the first rows of each split."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", a=np.arange(ROWS) / 3)
    disk, memory = pair(tmp_path / "in")
    assert disk.write(tmp_path / "out") == dict.fromkeys(SPLITS, ROWS)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out/test.parquet"), memory.load("test"))
    assert disk.write(tmp_path / "out", limit=123) == dict.fromkeys(SPLITS, 123)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out/test.parquet"), memory.load("test").head(123)
    )


def test_a_row_without_a_label_is_named_by_its_place_in_the_split(tmp_path):
    """Not by its place in the part or the file."""
    write(tmp_path, y=[None if i == 700 else float(i % 2) for i in range(ROWS)])
    with pytest.raises(DataError, match=r"1 rows have no 'y'; the first are rows 700, counted from 0"):
        list(next(pair(tmp_path)).parts("train"))


def test_a_split_without_rows_is_named_and_an_empty_file_beside_others_is_none(tmp_path):
    """No part is not the same as no error; a writer that had nothing to write does no harm."""
    frame = write(tmp_path)
    frame.head(0).to_parquet(tmp_path / "test/9.parquet", index=False)
    assert len(pd.concat(next(pair(tmp_path)).parts("test"))) == ROWS
    for file in (tmp_path / "test").glob("[0-2].parquet"):
        file.unlink()
    with pytest.raises(DataError, match=r"Split 'test' of .* has no rows"):
        list(next(pair(tmp_path)).parts("test"))
    assert [len(loader.head("test", 1)) for loader in pair(tmp_path)] == [0, 0]


def test_a_sample_is_evenly_spaced_and_no_larger_than_asked(tmp_path):
    """Across parts too; a split that is small enough is given whole."""
    write(tmp_path)
    disk, memory = pair(tmp_path)
    for loader in (disk, memory):
        assert loader.sample("train", 100)["id"].tolist() == list(range(0, ROWS, 10))
        assert len(loader.sample("train", ROWS)) == ROWS


def broken(loader, declared):
    """(row, column, rule) of each finding in train; the whole rows beside them have the ids that they must."""
    found, rows, complete = checks.findings(loader, declared)
    assert rows == 3 * ROWS and complete
    found = found[found["split"] == "train"]
    assert all(f.row == found.loc[i, "row.id"] for i, f in zip(found.index, found.itertuples(), strict=True))
    return [(f.row, f.column, f.rule) for f in found.itertuples()]


@pytest.mark.slow
def test_rows_that_break_a_rule_are_found_in_every_part(tmp_path):
    """The findings of a streamed split are those of the same rows in memory, positions and whole rows included."""
    numbers = np.arange(ROWS)
    a = np.where(np.isin(numbers, [3, 500, 996]), -1, numbers % 10)
    code = np.where(numbers == 990, 17, numbers)  # once in the first file, once in the last
    write(tmp_path, a=a, code=code, shop=numbers % 2)
    declared = CheckSettings(
        columns={"a": ColumnCheck(min=0), "code": ColumnCheck(unique=True)}, unique=("code", "shop")
    )
    disk, memory = pair(tmp_path)
    assert broken(disk, declared) == broken(memory, declared)
    assert broken(disk, declared) == [(3, "a", "min 0"), (17, "code", "unique"), (500, "a", "min 0"),
                                      (990, "code", "unique"), (996, "a", "min 0")]  # fmt: skip
    pairs = CheckSettings(unique=("shop", "a"))
    assert {row for row, *_ in broken(disk, pairs)} == {row for row, *_ in broken(memory, pairs)} != set()


@pytest.mark.slow
def test_reading_stops_at_the_maximum_of_findings(tmp_path, monkeypatch):
    """The number of findings is limited, repeated keys included, and the message says that there are more."""
    monkeypatch.setattr(checks, "MAX_FINDINGS", 150)
    write(tmp_path, a=np.full(ROWS, -1), code=np.zeros(ROWS, dtype=int))
    disk, _ = pair(tmp_path)
    for declared in (
        CheckSettings(columns={"a": ColumnCheck(min=0)}),
        CheckSettings(columns={"code": ColumnCheck(unique=True)}),
        CheckSettings(unique=("code", "a")),
    ):
        found, _, complete = checks.findings(disk, declared)
        found = found[found["split"] == "train"]
        assert not complete and 150 <= len(found) < ROWS / 2
        assert (found["row"] == found["row.id"]).all()


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 1],
        [1.5, None, 1.5, None],
        ["a", "b", "a", None, None],
        [Decimal("1.0"), 1, 2],
        [True, False, True],
    ],
)
def test_every_kind_of_value_that_comes_twice_is_found_across_parts(values):
    """As in pandas, 1 and Decimal(1.0) are equal, and so are two missing values."""
    whole = pd.DataFrame({"a": pd.Series(values)})
    with uniqueness.Repeated(["a"]) as repeated:
        for i in range(len(whole)):
            repeated.see(whole.iloc[[i]])
        found = [bool(repeated.among(whole.iloc[[i]])[0]) for i in range(len(whole))]
    assert found == whole.duplicated(keep=False).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Series([1, -1, 2**53 + 1]), pd.Series([1.0, None, 7.0])),
        (pd.Series([1, -1, 2**60]), pd.Series([-1, 2, 3], dtype="int32")),
        (pd.Series([1, 2, 2**60]), pd.Series([None, 2**60, 4], dtype="Int64")),
        (pd.Series([0.0, 1.5]), pd.Series([-0.0, 2.5])),
        (pd.Series(["a", "b"]), pd.Series(["b", "c"], dtype="category")),
        (pd.Series([1, 2]), pd.Series([2, 3], dtype="category")),
        (pd.Series([1.0, None]), pd.Series([None, None], dtype=object)),
        (pd.Series([-1, -2, 2**53, 2**53 + 1]), pd.Series([5, 6])),
    ],
)
def test_parts_of_other_types_share_their_values(one, other):
    """A part with a gap has floats for integers; equal values of both parts are found, and no others."""
    frames = [pd.DataFrame({"a": values}) for values in (one, other)]
    with uniqueness.Repeated(["a"]) as repeated:
        for frame in frames:
            repeated.see(frame)
        found = [mark for frame in frames for mark in repeated.among(frame).tolist()]
    together = pd.Series(
        [None if pd.isna(value) else value for values in (one, other) for value in values], dtype=object
    )
    assert found == together.duplicated(keep=False).tolist()


def test_files_with_an_index_of_pandas_are_read(tmp_path):
    """A filtered table has an index with gaps, which pandas writes as a column."""
    frame = pd.DataFrame({"id": np.arange(ROWS), "y": np.arange(ROWS) % 2})
    for split in SPLITS:
        frame[frame["id"] % 3 > 0].to_parquet(tmp_path / f"{split}.parquet")
    streamed, held = pair(tmp_path)
    assert streamed.schema == held.schema
    pd.testing.assert_frame_equal(streamed.load("test"), held.load("test"))


def test_the_old_import_path_of_checks_still_works():
    """Notebooks in existing projects import `checks` from mlops_lib.loaders."""
    from mlops_lib.data_checks import declared as now
    from mlops_lib.loaders import checks as before

    assert before is now
