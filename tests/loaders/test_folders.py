"""Folders of tables: formats side by side, partitions, types that must meet, and folders that are split already."""

import datetime as dt
import itertools
import unicodedata
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.settings.data import SplitSettings


@pytest.fixture
def frame():
    """120 rows with a key, text and a label."""
    ids = np.arange(120)
    return pd.DataFrame({"id": ids, "text": [f"t{i % 7}" for i in ids], "x": ids / 4, "y": ids % 2})


def loader(path, **more) -> LocalDataLoader:
    return LocalDataLoader(path, **{"label": "y", "key": "id", **more})


def ids(dataset, split=None):
    splits = [split] if split else SPLITS
    return sorted(i for split in splits for i in dataset.load(split)["id"])


def write(frame, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        frame.to_parquet(path, index=False)
    elif kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",", compression="infer")
    elif kind in ("jsonl", "json"):
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    elif kind == "feather":
        pyarrow.feather.write_feather(frame, path)
    else:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)


def test_formats_side_by_side_are_one_table(tmp_path, frame):
    """Case 7: every file of a folder is read, whatever its format, and the order is that of the names."""
    names = ["1.csv", "2.csv.gz", "3.TSV", "4.parquet", "5.jsonl", "6.json", "7.feather", "sub/8.arrow"]
    for rows, name in zip(np.array_split(np.arange(len(frame)), len(names)), names, strict=True):
        write(frame.iloc[rows], tmp_path / name)
    for name in ("README.md", "readme.txt", "LICENSE", "_SUCCESS", ".part.csv.crc", "_temporary/x.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    dataset = loader(tmp_path)
    found = pd.concat(dataset.load(split) for split in SPLITS).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(found[list(frame)], frame)
    one = tmp_path / "one"
    write(frame, one / "all.parquet")
    for split in SPLITS:
        assert dataset.load(split).equals(loader(one).load(split))


@pytest.mark.parametrize("name", ["more.xlsx", "more.txt", "more.zip", "more.dat", "more", "_more.csv"])
def test_a_file_that_is_not_read_is_an_error(tmp_path, frame, name):
    """A folder is read whole, or the file that was not is named."""
    write(frame, tmp_path / "a.csv")
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=rf"{name} may be data and is not read.*move it out"):
        loader(tmp_path).load("train")


def test_partitions_are_columns(tmp_path, frame):
    """Case 6: region=eu/ and year=2026/ are columns with the types that their texts have."""
    frame = frame.assign(
        region=np.where(frame["id"] % 3, "eu", "a/b"), year=2020 + frame["id"] % 2, code="007"
    )
    frame.loc[5, "region"] = None
    frame.to_parquet(tmp_path / "d", partition_cols=["region", "year", "code"])
    dataset = loader(tmp_path / "d")
    found = pd.concat(dataset.load(split) for split in SPLITS).sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(found[list(frame)], frame)
    write(frame.drop(columns=["region", "year", "code"]), tmp_path / "d/more.parquet")
    with pytest.raises(DataError, match=r"has the partitions"):
        loader(tmp_path / "d").load("train")


def mixed(tmp_path, one, other, first="a.csv", second="b.csv"):
    """Both values of a column, each in a file of its own."""
    for name, values, start in ((first, one, 0), (second, other, 50)):
        table = {"id": range(start, start + len(values)), "code": values, "y": [0, 1] * (len(values) // 2)}
        if name.endswith(".parquet"):
            pq.write_table(pa.table(table), tmp_path / name)
        else:
            write(pd.DataFrame(table), tmp_path / name)
    return loader(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_folder_does_not_contradict_a_column_of_its_files(tmp_path, frame, kind):
    """The same value is one column, whatever its type; another one is named with its place, and so is a gap."""
    for number, name in ((0, "a"), (1, "b")):
        part = frame[frame["id"] % 2 == number].assign(region=name, month=number + 1)
        write(part, tmp_path / f"d/region={name}/month=0{number + 1}/x.{kind}")
    found = pd.concat(loader(tmp_path / "d").load(split) for split in SPLITS)
    assert dict(found.groupby("region")["month"].unique().explode()) == {"a": 1, "b": 2}
    for value, words in (
        ("c", "has 'c', and the folder region=b says 'b'"),
        (None, "has no value, and the folder region=b"),
    ):
        odd = part.assign(region=[*part["region"][:-1], value])
        write(odd, tmp_path / f"d/region=b/month=02/x.{kind}")
        place = (
            rf"region=b/month=02/x\.{kind}, row {len(part) - 1} \(counted from 0\): column 'region' {words}"
        )
        with pytest.raises(DataError, match=f"{place}.*rename the column or the folder"):
            loader(tmp_path / "d").load("train")


def test_a_folder_without_a_value_has_rows_without_one(tmp_path, frame):
    """Hive's name for no value agrees with a gap, and so does a text of missing_values."""
    write(frame.assign(region="?"), tmp_path / "d/region=__HIVE_DEFAULT_PARTITION__/x.csv")
    made = LocalDataLoader(tmp_path / "d", label="y", key="id", missing_values=("?",))
    assert made.load("train").get("region", pd.Series(dtype=object)).notna().sum() == 0
    with pytest.raises(
        DataError, match=r"has '\?', and the folder region=__HIVE_DEFAULT_PARTITION__ says no value"
    ):
        loader(tmp_path / "d").load("train")


YES_NO = [[1, 0], ["true", "false"], ["t", "f"], ["yes", "no"], ["Y", "N"], ["on", "off"]]


@pytest.mark.parametrize("first", ["a.csv", "a.parquet", "a.jsonl"])
@pytest.mark.parametrize("second", ["b.csv", "b.parquet", "b.jsonl"])
@pytest.mark.parametrize(("one", "other"), list(itertools.pairwise(YES_NO)))
def test_yes_and_no_have_one_spelling_over_files(tmp_path, first, second, one, other):
    """0/1 beside true/false were four categories."""
    with pytest.raises(DataError) as error:
        _ = mixed(tmp_path, one * 15, other * 15, first, second).source.rows.schema
    said = str(error.value)
    if "does not fit its type" not in said:
        places = [
            f"{name}, row {n} (counted from 0) has '{vs[n]}'"
            for name, vs in ((first, one), (second, other))
            for n in (0, 1)
        ]
        assert sum(place in said for place in places) == 2
        assert "in one way" in said and "data.columns: {code: category}" in said


def test_true_in_two_spellings_of_text_files_is_one_boolean(tmp_path):
    dataset = mixed(tmp_path, ["true", "false"] * 15, ["True", "False"] * 15)
    found = pd.concat(dataset.load(split) for split in SPLITS)["code"]
    assert found.dtype == bool and found.sum() == 30


@pytest.mark.parametrize(
    "more",
    [
        {"kinds": {"code": "category"}},
        {"features": ("id",)},
        {"task": "text"},
        {"prepare": lambda rows: rows},
    ],
)
def test_texts_that_config_keeps_are_no_yes_and_no(tmp_path, more):
    """The remedy works, and answers of a text task or rows that prepare mends are no error."""
    mixed(tmp_path, [1, 0] * 15, ["yes", "no"] * 15)
    made = LocalDataLoader(tmp_path, label="y", **more)
    assert made.source.rows.schema.field("code").type == pa.string()
    assert len(made.load("test"))


@pytest.mark.parametrize(
    ("one", "other"),
    [(["N"] * 30, ["F"] * 30), (["0", "1"] * 15, ["true", "maybe"] * 15), ([1, 0] * 15, [1.0, 0.0] * 15)],
)
def test_codes_and_numbers_are_no_yes_and_no(tmp_path, one, other):
    """N and F are classes of heart beats."""
    assert len(mixed(tmp_path, one, other).load("train"))


@pytest.mark.parametrize("column", ["code", "y"])
def test_yes_and_no_have_one_spelling_over_the_splits(tmp_path, column):
    for split, values in (("train", [0, 1]), ("validation", [1, 0]), ("test", ["no", "yes"])):
        write(
            pd.DataFrame({"id": range(20), "code": [0, 1] * 10, "y": [0, 1] * 10} | {column: values * 10}),
            tmp_path / f"{split}.csv",
        )
    words = r"ways: \S*test\.csv, row \d .* has '(no|yes)' and|ways: \S*\.csv, row \d .* has '[01]' and \S*test\.csv, row \d .* has '(no|yes)'"
    with pytest.raises(DataError, match=words) as error:
        loader(tmp_path).load("train")
    assert ("data.columns" in str(error.value)) == (column == "code")


def test_yes_and_no_have_one_spelling_in_a_file(tmp_path):
    write(
        pd.DataFrame({"id": range(40), "code": ["0", "1", "yes", "no"] * 10, "y": [0, 1] * 20}),
        tmp_path / "a.csv",
    )
    with pytest.raises(DataError, match=r"a\.csv, row 0 .* has '0' and \S*a\.csv, row 2 .* has 'yes'"):
        loader(tmp_path / "a.csv").load("train")


@pytest.mark.parametrize("first", ["a.csv", "a.parquet", "a.jsonl"])
@pytest.mark.parametrize("second", ["b.csv", "b.parquet", "b.jsonl"])
def test_numbers_and_text_in_one_column_are_text(tmp_path, first, second):
    """Case 9: codes 100, 101, ... in one file and B7, B8, ... in another."""
    dataset = mixed(tmp_path, [100 + i for i in range(30)], [f"B{i}" for i in range(30)], first, second)
    codes = [code for split in SPLITS for code in dataset.load(split)["code"]]
    assert sorted(codes) == sorted([str(100 + i) for i in range(30)] + [f"B{i}" for i in range(30)])


@pytest.mark.parametrize("second", ["b.csv", "b.jsonl"])
def test_texts_that_are_times_meet_times(tmp_path, second):
    """A timestamp of Parquet is ISO text in CSV and JSON; a text that is no time is an error with its place."""
    days = [dt.datetime(2026, 1, 1) + dt.timedelta(hours=i) for i in range(30)]
    dataset = mixed(tmp_path, days, [day.isoformat() for day in days], "a.parquet", second)
    found = pd.concat(dataset.load(split) for split in SPLITS)["code"]
    assert sorted(found) == sorted(pd.Timestamp(day) for day in 2 * days)
    bad = [day.isoformat() for day in days[:-2]] + ["soon", "later"]
    with pytest.raises(DataError, match=rf"{second}, row 28 \(counted from 0\): column 'code' has 'soon'"):
        mixed(tmp_path, days, bad, "a.parquet", second).load("train")


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (
            [True, False],
            ["x", "z"],
            r"b\.parquet, row 0 .*column 'code' has 'x', which does not fit its type bool",
        ),
        (
            [[1.0], [2.0]],
            [1.0, 2.0],
            r"b\.parquet, row 0 .*'code' has 1\.0, which does not fit its type list",
        ),
        (
            [2**53 + 1, 1],
            [0.5, 1.5],
            rf"a\.parquet, row 0 .*'code' has {2**53 + 1}, which does not fit its type double",
        ),
    ],
)
def test_types_that_cannot_meet_name_file_column_row_and_value(tmp_path, one, other, words):
    """The error comes before anything is trained."""
    with pytest.raises(DataError, match=words):
        mixed(tmp_path, one, other, "a.parquet", "b.parquet").load("train")


def test_every_arrow_type_has_one_physical_type(tmp_path):
    """Case 10: decimals are numbers; dates, zones and dictionaries have one form too."""
    n = 40
    zone = pa.timestamp("ms", "Asia/Seoul")
    noon = dt.datetime(2026, 1, 1, 12)
    table = pa.table(
        {
            "id": pa.array(range(n), pa.int32()),
            "price": pa.array([Decimal(f"{i}.10") for i in range(n)], pa.decimal128(10, 2)),
            "small": pa.array([i / 4 for i in range(n)], pa.float32()),
            "day": pa.array([noon.date()] * n, pa.date32()),
            "at": pa.array([noon] * n, zone),
            "kind": pa.array([f"k{i % 3}" for i in range(n)]).dictionary_encode(),
            "big": pa.array(["x"] * n, pa.large_string()),
            "emb": pa.array([[1.0, 2.0]] * n, pa.list_(pa.float32(), 2)),
            "gap": pa.array([None if i == 3 else i for i in range(n)], pa.int16()),
            "none": pa.nulls(n),
            "y": pa.array([i % 2 for i in range(n)], pa.uint8()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = loader(tmp_path / "a.parquet")
    kinds = {field.name: str(field.type) for field in dataset.source.rows.schema}
    assert kinds == {
        "id": "int64", "price": "double", "small": "double", "day": "timestamp[us]", "at": "timestamp[us]",
        "kind": "string", "big": "string", "emb": "list<item: double>", "gap": "int64", "none": "double", "y": "int64",
    }  # fmt: skip
    found = dataset.load("train").iloc[0]
    assert found["price"] == float(f"{found['id']}.10") and found["at"] == pd.Timestamp("2026-01-01 12:00")
    assert {dataset.load(split)["gap"].dtype for split in SPLITS} == {np.dtype("float64")}


READY = [
    ("train.csv", "val.csv", "test.csv"),
    ("TRAIN.CSV", "VALIDATION.CSV", "TEST.CSV"),
    ("Training.csv", "valid.csv", "Testing.csv"),
    ("train.parquet", "dev.parquet", "test.parquet"),
    ("iris_train.csv", "iris_val.csv", "iris_test.csv"),
    ("train_set.csv", "dev_set.csv", "test_set.csv"),
    ("train.csv.gz", "validation.tsv", "holdout.jsonl"),
    ("train.csv", "eval.csv", "test.csv"),
    ("train.csv", "val.csv", "evaluation.csv"),
    ("train/a.csv", "valid/a.csv", "test/a.csv"),
    ("data/train.csv", "data/val.csv", "data/test.csv"),
    ("split=train/a.csv", "split=validation/a.csv", "split=test/a.csv"),
    ("train-2026.csv", "val-2026.csv", "test-2026.csv"),
    ("churnTrain.csv", "churnVal.csv", "churnTest.csv"),
    (
        "train-00000-of-00001-a09b74b3ef9c3b56.csv",
        "dev-00000-of-00001-11aa22bb33cc44dd.csv",
        "test-0-8b7c6d5e4f3a2b1c.csv",
    ),
    ("train/2026/a.csv", "val/2026/a.csv", "test/2026/a.csv"),
    ("v1/train.csv", "v1/val.csv", "v1/Hold-Out.csv"),
    ("학습.csv", "검증.csv", "평가.csv"),
    ("훈련용_데이터.csv", "검증데이터셋.csv", "테스트셋.csv"),
    tuple(
        unicodedata.normalize("NFD", name)
        for name in ("고객_학습용/a.csv", "고객_검증용/a.csv", "고객_시험용/a.csv")
    ),
    ("1.Training/a.csv", "2.Validation/a.csv", "3.Test/a.csv"),
]


@pytest.mark.parametrize("names", READY)
def test_a_folder_that_is_split_already_is_taken_as_it_is(tmp_path, frame, names):
    """Case 5: usual names in any case, folders, formats."""
    for number, name in enumerate(names):
        write(frame.iloc[number * 40 : number * 40 + 40], tmp_path / name)
    dataset = loader(tmp_path)
    assert [ids(dataset, split) for split in SPLITS] == [list(range(i, i + 40)) for i in (0, 40, 80)]
    assert list(dataset.load("test").columns) == ["id", "text", "x", "y"]


@pytest.mark.parametrize("ready", [True, False], ids=["ready-made", "one table"])
def test_a_missing_shard_is_named(tmp_path, frame, ready):
    """The name of each file says how many there are; a part of the rows is no table."""
    names = ["train-00001-of-00003", "train-00002-of-00003"] + [
        "val-00000-of-00001",
        "test-00000-of-00001",
    ] * ready
    for number, name in enumerate(names):
        write(frame.iloc[number * 20 : number * 20 + 20], tmp_path / f"{name}.csv")
    with pytest.raises(
        DataError, match=r"has 2 of 3 files train-\.\.\.-of-00003: 1, 2\. Add the missing ones"
    ):
        loader(tmp_path).load("train")
    write(frame.iloc[100:], tmp_path / "train-00000-of-00003.csv")
    if ready:
        assert len(loader(tmp_path).load("train")) == 40 + len(frame) - 100


def test_shards_of_a_split_belong_together(tmp_path, frame):
    """train-00000-of-00002.parquet as Hugging Face writes it; Spark's part files in folders."""
    for number in range(6):
        name = ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001",
                "test-00000-of-00003", "test-00001-of-00003", "test-00002-of-00003")[number]  # fmt: skip
        write(frame.iloc[number * 20 : number * 20 + 20], tmp_path / "hub/data" / f"{name}.parquet")
        folder = ("train", "train", "val", "test", "test", "test")[number]
        part = f"part-{number:05}-0a1b2c3d-c000.snappy.parquet"
        write(frame.iloc[number * 20 : number * 20 + 20], tmp_path / "spark" / folder / part)
    (tmp_path / "hub/dataset_infos.json").write_text("{}")
    for place in ("hub", "spark"):
        dataset = loader(tmp_path / place)
        assert [len(dataset.load(split)) for split in SPLITS] == [40, 20, 60]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train.csv", "test.csv"], r"no validation split.*validation_from_train: true"),
        (["train.csv", "val.csv"], r"has no test split.*test\.csv or the folder test/"),
        (["train.csv"], "has no test split"),
        (["val.csv", "test.csv"], "has no train split"),
        (
            ["train.csv", "val.csv", "test.csv", "sample_submission.csv"],
            r"sample_submission\.csv belongs to no split",
        ),
        (
            ["train.csv", "train.parquet", "val.csv", "test.csv"],
            r"'train' twice, as train\.csv and train\.parquet",
        ),
        (["a_train.csv", "b_val.csv", "b_test.csv"], "have different names"),
        (["v1/train.csv", "v1/val.csv", "v1/test.csv", "v2/train.csv"], "have different names"),
    ],
)
def test_a_folder_that_looks_split_and_is_not_complete_is_refused(tmp_path, frame, names, words):
    """It is never pooled and split again."""
    for name in names:
        write(frame, tmp_path / name)
    with pytest.raises(DataError, match=words):
        loader(tmp_path).load("train")


@pytest.mark.parametrize(
    "names", [["north.csv", "south.csv"], ["ab_test.csv", "orders.csv"], ["2025.csv", "2026.csv"]]
)
def test_a_folder_of_other_names_is_one_table(tmp_path, frame, names):
    """A word such as test in one name alone is no split."""
    for number, name in enumerate(names):
        write(frame.iloc[number * 60 : number * 60 + 60], tmp_path / name)
    assert ids(loader(tmp_path)) == list(range(120))


def test_validation_is_taken_out_of_train_where_the_setting_says_so(tmp_path, frame):
    """Its fraction of the keys of train; the test split stays as it is."""
    write(frame.iloc[:90], tmp_path / "train.csv")
    write(frame.iloc[90:], tmp_path / "test.csv")
    dataset = loader(tmp_path, split=SplitSettings(validation_from_train=True), validation_fraction=0.3)
    assert ids(dataset, "test") == list(range(90, 120))
    assert sorted(ids(dataset, "train") + ids(dataset, "validation")) == list(range(90))
    assert 15 <= len(ids(dataset, "validation")) <= 40
    prepared = loader(tmp_path, split=SplitSettings(validation_from_train=True), validation_fraction=0.3,
                      prepare=lambda rows: rows.assign(z=1))  # fmt: skip
    assert ids(prepared, "validation") == ids(dataset, "validation")
    assert ids(prepared, "test") == ids(dataset, "test")


def test_types_are_one_over_the_splits(tmp_path):
    """A letter in the test file alone makes text of the column in train too."""
    for split, code in (("train", "7"), ("validation", "8"), ("test", "x")):
        write(pd.DataFrame({"id": [1, 2], "code": [code, "9"], "y": [0, 1]}), tmp_path / f"{split}.csv")
    assert loader(tmp_path).load("train")["code"].tolist() == ["7", "9"]


def test_prepared_rows_have_one_type_too(tmp_path, frame):
    """Decimals of data.prepare are numbers, and a column without a value in one split has the type of the others."""

    def prepare(rows):
        note = rows["text"].where(rows["id"] == rows["id"].iloc[0], None)
        return rows.assign(note=note, price=rows["x"].map(lambda x: Decimal(str(x))))

    write(frame, tmp_path / "a.csv")
    dataset = loader(tmp_path / "a.csv", prepare=prepare)
    dataset.write(tmp_path / "out")
    kinds = {split: pq.read_schema(tmp_path / "out" / f"{split}.parquet") for split in SPLITS}
    assert len(set(map(str, kinds.values()))) == 1
    assert str(kinds["train"].field("price").type) == "double"


def test_partitions_above_the_split_are_columns(frame, tmp_path):
    """region=eu/train.csv: region is a column, as in a folder without splits."""
    for region in ("eu", "us"):
        for split in SPLITS:
            write(frame, tmp_path / f"region={region}" / f"{split}.csv")
    for split in SPLITS:
        found = loader(tmp_path).load(split)
        assert found["region"].tolist() == ["eu"] * 120 + ["us"] * 120


@pytest.mark.parametrize("streaming", [True, False])
def test_a_train_split_that_gives_validation_rows_counts_its_own(frame, tmp_path, streaming):
    """With validation_from_train, the files of train hold validation rows too: no batch of train has them."""
    for split in ("train", "test"):
        write(frame.drop(columns="text"), tmp_path / f"{split}.parquet")
    made = loader(tmp_path, split=SplitSettings(validation_from_train=True), streaming=streaming)
    for split in SPLITS:
        rows = len(made.load(split))
        assert made.count(split) == rows
        assert sum(len(y) for _, y in made.torch(split, 16)) == rows
    assert made.count("train") + made.count("validation") == 120


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_that_is_not_followed_is_named(frame, tmp_path, target):
    """Rows behind a link to a folder are not left out without a word."""
    write(frame, tmp_path / "elsewhere" / "b.csv")
    write(frame, tmp_path / "data" / "a.csv")
    (tmp_path / "data" / "link").symlink_to(tmp_path / target)
    with pytest.raises(DataError, match=r"data/link is a link to a folder, or to nothing"):
        loader(tmp_path / "data").load("train")
    (tmp_path / "data" / "link").unlink()
    (tmp_path / "data" / "c.csv").symlink_to(tmp_path / "elsewhere" / "b.csv")
    assert len(ids(loader(tmp_path / "data"))) == 240
