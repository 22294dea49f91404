"""Ways to split: a key stays where it is, classes keep their shares, the latest rows are the test split."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.settings.data import SplitSettings


def loader(path, **more) -> LocalDataLoader:
    return LocalDataLoader(path, **{"label": "y", "key": "id", **more})


def held_out(dataset):
    return set(dataset.load("test")["id"].astype(str).str.removesuffix(".0"))


def frame(rows=200):
    return pd.DataFrame({"id": range(1, rows + 1), "x": 1.0, "y": [0, 1] * (rows // 2)})


def test_a_new_row_moves_no_key(tmp_path):
    """Case 3: the row A7 makes text of the column of ids; the test ids are the same 65."""
    frame().to_csv(tmp_path / "k.csv", index=False)
    before = held_out(loader(tmp_path / "k.csv"))
    with (tmp_path / "k.csv").open("a") as file:
        file.write("A7,1,0\n")
    after = held_out(loader(tmp_path / "k.csv"))
    assert len(before & after) == len(before) and after - before <= {"A7"}


@pytest.mark.parametrize(
    "dtype", ["int64", "int32", "uint8", "float64", "float32", "Int64", "str", "category", Decimal]
)
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_the_type_of_a_key_does_not_move_it(tmp_path, dtype, kind):
    """Case 3: 65 of 65 as integer, float, text, Decimal and category."""
    frame().to_csv(tmp_path / "k.csv", index=False)
    wanted = held_out(loader(tmp_path / "k.csv"))
    keys = frame()["id"]
    keys = keys.map(Decimal) if dtype is Decimal else keys.astype(dtype)
    table = frame().assign(id=keys)
    if kind == "parquet":
        table.to_parquet(tmp_path / "o.parquet")
    elif kind == "jsonl":
        table.assign(id=keys.astype(str) if dtype is Decimal else keys).to_json(
            tmp_path / "o.jsonl", orient="records", lines=True
        )
    else:
        table.to_csv(tmp_path / "o.csv", index=False)
    found = loader(tmp_path / f"o.{kind}")
    assert held_out(found) == wanted
    held = loader(tmp_path / f"o.{kind}", prepare=lambda rows: rows.astype({"x": float}))
    assert held_out(held) == wanted


def test_four_texts_are_four_keys(tmp_path):
    """Case 4: 007 and 7, 1E2 and 100."""
    (tmp_path / "k.csv").write_text("id,x,y\n007,1,0\n7,1,1\n1E2,1,0\n100,1,1\n")
    dataset = loader(tmp_path / "k.csv")
    found = [key for split in SPLITS for key in dataset.load(split)["id"]]
    assert sorted(found) == ["007", "100", "1E2", "7"]


def classes(rows=300):
    """Rows of three classes: half, a third, a sixth."""
    return pd.DataFrame({"id": np.arange(rows), "x": 1.0, "y": ["a", "b", "a", "b", "a", "c"] * (rows // 6)})


@pytest.mark.parametrize("key", ["id", ""])
def test_a_stratified_split_keeps_the_shares_of_the_classes(tmp_path, key):
    """Each class has a quarter of its rows in test and 15 % in validation, rounded."""
    classes().to_csv(tmp_path / "a.csv", index=False)
    dataset = loader(tmp_path / "a.csv", key=key, split=SplitSettings(by="label"))
    for split, share in (("test", 0.25), ("validation", 0.15), ("train", 0.6)):
        counts = dataset.load(split)["y"].value_counts()
        assert {name: abs(counts[name] - share * n) <= 1 for name, n in (("a", 150), ("b", 100), ("c", 50))}
    assert sum(len(dataset.load(split)) for split in SPLITS) == 300


def test_a_new_row_moves_at_most_one_row_across_each_border(tmp_path):
    """A stratified split depends on the other rows of the class, and on no others."""

    def split_of(table):
        table.to_csv(tmp_path / "a.csv", index=False)
        dataset = loader(tmp_path / "a.csv", split=SplitSettings(by="label"))
        return pd.concat(pd.Series(split, dataset.load(split)["id"]) for split in SPLITS)

    before = split_of(classes())
    for number in range(5):
        new = pd.DataFrame({"id": [1000 + number], "x": [1.0], "y": ["b"]})
        after = split_of(pd.concat([classes(), new]).sample(frac=1, random_state=number))
        moved = before.index[before != after[before.index]]
        assert len(moved) <= 2 and set(classes().set_index("id").loc[moved, "y"]) <= {"b"}


def test_rows_of_a_key_stay_together_in_a_stratified_split(tmp_path):
    """A key with two labels counts for the first of them, in any order of its rows."""
    table = pd.concat([classes(), classes().assign(y="b")])
    table.to_csv(tmp_path / "a.csv", index=False)
    table.sample(frac=1, random_state=1).to_parquet(tmp_path / "b.parquet")
    one, other = (loader(tmp_path / name, split=SplitSettings(by="label")) for name in ("a.csv", "b.parquet"))
    for split in SPLITS:
        assert set(one.load(split)["id"]) == set(other.load(split)["id"])
    assert not set(one.load("train")["id"]) & set(one.load("test")["id"])


def test_a_rare_class_is_in_every_split_and_a_number_is_no_class(tmp_path):
    """Three rows are one for each split; labels that are all different are refused."""
    table = classes()
    table.loc[[0, 100, 200], "y"] = "rare"
    table.to_csv(tmp_path / "a.csv", index=False)
    dataset = loader(tmp_path / "a.csv", split=SplitSettings(by="label"))
    assert [sum(dataset.load(split)["y"] == "rare") for split in SPLITS] == [1, 1, 1]
    table.assign(y=np.arange(300) / 7).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"'y' has 300 distinct values in 300 rows.*by: key"):
        loader(tmp_path / "a.csv", split=SplitSettings(by="label")).load("train")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_test_split_is_the_latest(tmp_path, kind):
    """Validation lies before it, train before validation; the column of the time is no feature."""
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.random.default_rng(0).permutation(200), "D")
    table = frame().assign(signup=days)
    table.to_csv(tmp_path / "a.csv", index=False) if kind == "csv" else table.to_parquet(
        tmp_path / "a.parquet"
    )
    dataset = loader(tmp_path / f"a.{kind}", split=SplitSettings(by="time", column="signup"))
    times = [pd.to_datetime(dataset.load(split)["signup"]) for split in SPLITS]
    assert [len(values) for values in times] == [120, 30, 50]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    assert dataset.schema.time == "signup" and "signup" not in dataset.schema.features


def test_rows_of_one_time_stay_together(tmp_path):
    """The border is moved to the nearest change of time."""
    frame().assign(year=np.repeat([2021, 2022, 2023, 2024], 50)).to_csv(tmp_path / "a.csv", index=False)
    dataset = loader(tmp_path / "a.csv", split=SplitSettings(by="time", column="year"), test_fraction=0.3)
    assert [set(dataset.load(split)["year"]) for split in SPLITS] == [{2021, 2022}, {2023}, {2024}]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("when", ["2026-01-01", None] * 100, r"100 rows or more have no 'when'.*the first is row 1"),
        ("when", ["2026-01-01", "soon"] * 100, r"row 1 .*'when', .* is 'soon'.*must be a number or a time"),
        ("when", [True, False] * 100, "'when' is bool, which is no time"),
        ("then", [1] * 200, r"no column 'then' \(data\.split\.column\)"),
    ],
)
def test_times_that_cannot_be_compared_are_named(tmp_path, column, values, words):
    """Missing, no time, or not there."""
    frame().assign(when=values).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=words):
        loader(tmp_path / "a.csv", split=SplitSettings(by="time", column=column)).load("train")


def test_a_column_names_the_split_of_each_row(tmp_path):
    """Usual names in any case; the column is not in the dataset; another name is an error with its row."""
    names = np.repeat(["Train", "val", "TEST"], [100, 40, 60])
    frame().assign(fold=names).to_csv(tmp_path / "a.csv", index=False)
    how = SplitSettings(by="column", column="fold")
    dataset = loader(tmp_path / "a.csv", split=how)
    assert [len(dataset.load(split)) for split in SPLITS] == [100, 40, 60]
    assert "fold" not in dataset.load("train")
    frame().assign(fold=[*names[:-1], "spare"]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"row 199 .*'fold' .*has 'spare', which names no split.*train"):
        loader(tmp_path / "a.csv", split=how).load("train")


@pytest.mark.parametrize("settings", [{"by": "time"}, {"by": "column"}, {"by": "label", "column": "y"}])
def test_a_split_that_is_not_whole_is_refused(settings):
    """A time needs a column, a label none."""
    with pytest.raises(ValueError, match="column"):
        SplitSettings(**settings)


@pytest.mark.parametrize(
    "how", [SplitSettings(), SplitSettings(by="label"), SplitSettings(by="time", column="x")]
)
@pytest.mark.parametrize("prepare", [None, lambda rows: rows.assign(z=1)])
def test_rows_without_a_label_are_an_error_or_dropped_and_counted(tmp_path, how, prepare):
    """The error names the rows and the setting; with the setting the number of rows is in the dataset."""
    table = frame().assign(x=range(200))
    table["y"] = table["y"].where(~table.index.isin([3, 77, 199]))
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(
        DataError, match=r"3 rows have no 'y'; the first are rows 3, 77, 199.*data\.missing_label: drop"
    ):
        loader(tmp_path / "a.csv", split=how, prepare=prepare).write(tmp_path / "out")
    dataset = loader(tmp_path / "a.csv", split=how, prepare=prepare, missing_label="drop")
    assert sum(dataset.write(tmp_path / "out").values()) == 197
    assert loader(tmp_path / "out").tags["mlops.rows_without_label"] == "3"
    assert not {4, 78, 200} & {key for split in SPLITS for key in loader(tmp_path / "out").load(split)["id"]}


def test_a_row_without_a_key_is_an_error(tmp_path):
    """Nobody guesses the entity; the remedy is not data.prepare."""
    frame().assign(id=[None, *range(199)]).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="1 rows have no 'id'; the first are rows 0.*Fill them in the source"):
        loader(tmp_path / "a.parquet", missing_label="drop").load("train")


def test_a_time_that_is_not_a_number_is_named(tmp_path):
    """NaN is no time: the row was trained on without a word."""
    times = np.where(np.arange(200) == 5, np.nan, np.arange(200.0))
    table = pa.table({"id": range(200), "t": pa.array(times), "y": [0, 1] * 100})
    pq.write_table(table, tmp_path / "k.parquet")
    made = loader(tmp_path / "k.parquet", split=SplitSettings(by="time", column="t"))
    with pytest.raises(DataError, match="1 rows or more have no 't' .* the first is row 5"):
        made.load("train")
