"""LocalDataLoader: no row lost, none doubled, order kept, labels untouched, and bad files named."""

import json

import numpy as np
import pandas as pd
import pytest

from mlops_lib import loaders
from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader

WRITE = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".json": lambda frame, path: frame.to_json(path, orient="records"),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


@pytest.fixture
def frame():
    """300 rows with a key, two features and a label; rows of the same key are far apart."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(300) % 150,
            "a": rng.normal(size=300),
            "b": rng.integers(0, 9, 300),
            "y": np.arange(300) % 2,
        }
    )


def loader(path, **arguments) -> LocalDataLoader:
    return LocalDataLoader(path, **{"label": "y", "key": "id", **arguments})


def everything(dataset: LocalDataLoader) -> pd.DataFrame:
    return pd.concat([dataset.load(split) for split in SPLITS], ignore_index=True)


@pytest.mark.parametrize("suffix", WRITE)
@pytest.mark.parametrize("files", [1, 3])
def test_every_row_arrives_once_whatever_the_format(tmp_path, frame, suffix, files):
    """One file or a folder of them: the same rows, values and types come out."""
    parts = np.array_split(np.arange(len(frame)), files)
    for number, rows in enumerate(parts):
        WRITE[suffix](frame.iloc[rows], tmp_path / f"part-{number}{suffix}")
    found = everything(loader(tmp_path if files > 1 else tmp_path / f"part-0{suffix}"))
    order = ["id", "b", "y", "a"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True), frame.sort_values(order, ignore_index=True)
    )


def test_rows_keep_their_order_within_a_split(tmp_path, frame):
    """A split is the source with rows left out, never shuffled."""
    frame["position"] = np.arange(len(frame))
    frame.to_parquet(tmp_path / "a.parquet")
    for split in SPLITS:
        assert loader(tmp_path / "a.parquet").load(split)["position"].is_monotonic_increasing


def test_a_key_is_in_one_split_only(tmp_path, frame):
    """No customer is both learnt from and tested on."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = loader(tmp_path / "a.csv")
    keys = [set(dataset.load(split)["id"]) for split in SPLITS]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])
    assert set.union(*keys) == set(frame["id"])


def test_a_folder_that_is_split_already_is_taken_as_it_is(tmp_path, frame):
    """train, validation and test as files are not split again."""
    for number, split in enumerate(SPLITS):
        frame.iloc[number * 100 : number * 100 + 100].to_csv(tmp_path / f"{split}.csv", index=False)
    assert [len(loader(tmp_path).load(split)) for split in SPLITS] == [100, 100, 100]
    pd.testing.assert_frame_equal(loader(tmp_path).load("test"), frame.iloc[200:].reset_index(drop=True))


def test_the_label_and_key_are_no_features(tmp_path, frame):
    """Features are all other columns, or those that were named."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert loader(tmp_path / "a.csv").schema.kinds == {"a": "number", "b": "integer"}
    assert list(loader(tmp_path / "a.csv", features=("b",)).load("train").columns) == ["id", "b", "y"]


def test_the_fingerprint_follows_the_bytes(tmp_path, frame):
    """One changed value in one file of a folder changes it; reading again does not."""
    for name in ("a.csv", "b.csv"):
        frame.to_csv(tmp_path / name, index=False)
    before = loader(tmp_path).fingerprint()
    assert loader(tmp_path).fingerprint() == before
    frame.assign(y=1).to_csv(tmp_path / "b.csv", index=False)
    assert loader(tmp_path).fingerprint() != before


def test_missing_features_stay_missing(tmp_path, frame):
    """NaN in a feature is the model's business, not a reason to lose the row."""
    frame.loc[5, "a"] = np.nan
    frame.to_parquet(tmp_path / "a.parquet")
    assert everything(loader(tmp_path / "a.parquet"))["a"].isna().sum() == 1


def test_a_missing_source_is_named(tmp_path):
    """The path, and the two ways to set it."""
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist.*data\.source or DATA_SOURCE_PATH"):
        loader(tmp_path / "nowhere.csv").load("train")


def test_an_empty_folder_says_which_endings_count(tmp_path):
    """A folder of other files is as good as empty; hidden files do not count."""
    (tmp_path / "README.txt").write_text("x")
    (tmp_path / ".hidden.csv").write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match=r"has no data file: known endings are \.parquet, \.pq, \.csv"):
        loader(tmp_path).load("train")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", "empty.csv is empty"),
        ("header.csv", "id,a,y\n", "has no rows"),
        ("broken.json", "{not json", "broken.json cannot be read as json"),
        ("broken.parquet", "not parquet", "broken.parquet cannot be read as parquet"),
        ("table.xlsx", "x", "ends in '.xlsx'; known endings are .parquet"),
    ],
)
def test_a_file_that_holds_no_table_is_named(tmp_path, name, content, words):
    """Empty, broken or unknown: the message starts from the file."""
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        loader(tmp_path / name).load("train")


def test_files_with_other_columns_are_named_with_the_difference(tmp_path, frame):
    """Nothing is filled up with NaN in silence."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.rename(columns={"a": "aa"}).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(
        DataError, match=r"b\.csv does not have the columns of .*a\.csv: it lacks \['a'\] and adds \['aa'\]"
    ):
        loader(tmp_path).load("train")


def test_columns_in_another_order_are_the_same_columns(tmp_path, frame):
    """Order of columns is no difference."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame[["y", "b", "a", "id"]].to_csv(tmp_path / "b.csv", index=False)
    assert len(everything(loader(tmp_path))) == 600


@pytest.mark.parametrize("arguments", [{"label": "z"}, {"key": "z"}, {"features": ("a", "z")}])
def test_a_column_that_is_not_there_is_answered_with_those_that_are(tmp_path, frame, arguments):
    """Label, key or feature: the message has its name and the columns of the file."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="no column 'z'.*Columns it has: id, a, b, y"):
        loader(tmp_path / "a.csv", **arguments).load("train")


@pytest.mark.parametrize("column", ["y", "id"])
def test_rows_without_label_or_key_are_numbered(tmp_path, frame, column):
    """Nobody guesses a label, and nobody drops the row unasked."""
    frame.loc[[7, 9], column] = np.nan
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"2 rows have no '{column}'; the first are rows 7, 9"):
        loader(tmp_path / "a.parquet").load("train")


def test_prepare_that_returns_nothing_is_named(project):
    """The forgotten return of a user's own function is told as such."""
    project.configure(data={"prepare": "toy_data:returns_nothing"})
    with pytest.raises(DataError, match="returns_nothing returned a NoneType, not a DataFrame"):
        loaders.from_settings(project.settings()).load("train")


def test_writing_and_opening_a_dataset_keeps_every_row(project):
    """What 01_get_data writes is what the other notebooks read: rows, order, types."""
    settings = project.settings()
    source = loaders.from_settings(settings)
    rows = source.write(loaders.prepared_folder(settings))
    prepared = loaders.prepared(settings)
    for split in SPLITS:
        pd.testing.assert_frame_equal(prepared.load(split), source.load(split))
        assert rows[split] == len(source.load(split)) > 0
    assert prepared.schema == source.schema
    assert source.write(project.root / "few", limit=10) == dict.fromkeys(SPLITS, 10)


def test_writing_a_dataset_again_leaves_its_links_alone(project, tmp_path):
    """What memory keeps of a dataset are links to its files: another dataset in its place must not change them."""
    folder, kept = tmp_path / "data", tmp_path / "kept"
    source = loaders.from_settings(project.settings())
    source.write(folder)
    kept.mkdir()
    for file in folder.iterdir():
        (kept / file.name).hardlink_to(file)
    source.write(folder, limit=10)
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in kept.iterdir())
    assert not [file for file in folder.iterdir() if file.samefile(kept / file.name)]


def test_a_split_without_rows_is_an_error(tmp_path, frame):
    """A fraction of zero leaves a notebook nothing to judge on."""
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="Split 'test' has no rows"):
        loader(tmp_path / "a.csv", test_fraction=0.0).write(tmp_path / "out")


def test_json_of_another_form_is_refused(tmp_path):
    """A JSON file that is no list of rows does not become a strange table."""
    (tmp_path / "a.json").write_text(json.dumps("text"))
    with pytest.raises(DataError, match=r"a\.json"):
        loader(tmp_path / "a.json").load("train")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"id": 1, "y": 0, "y": 1}]', "an object has 'y' twice"),
        (
            '[{"id": 1, "y": 0}, {"id": 2, "y": "a", "y2": 1}, {"id": true, "y": 1}]',
            r"row 2 .*column 'id' has True",
        ),
        ("[1, 2]", r"row 0 \(counted from 0\) is no object: 1"),
        ('{"id": 1, "y": 0}\n{"id": 2,', "line 2"),
    ],
)
def test_json_that_is_no_table_names_the_place(tmp_path, content, words):
    """A name twice, types that cannot meet, a row that is no object, a broken line."""
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=words):
        loader(tmp_path / "a.json").load("train")


def test_json_values_stay_as_written(tmp_path):
    """Text that looks like a number is another key than the number; a large integer keeps its last digit."""
    rows = '{"id": "01234", "big": 9007199254740993, "y": 1}\n{"id": "1234", "big": 1, "y": 0}\n'
    (tmp_path / "train.jsonl").write_text(rows)
    for split in ("validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text(rows)
    frame = LocalDataLoader(tmp_path, label="y", key="id").load("train")
    assert frame["id"].tolist() == ["01234", "1234"] and frame["big"].tolist() == [9007199254740993, 1]


def test_an_address_of_an_unknown_scheme_is_refused(project):
    """It is not looked for under the project's folder."""
    with pytest.raises(DataError, match="reads paths and s3://.*data.source is ftp://host/rows.parquet"):
        _ = LocalDataLoader.from_settings(project.settings(data__source="ftp://host/rows.parquet")).path


def test_another_split_of_the_same_rows_is_another_dataset(tmp_path, frame):
    """The fingerprint counts how rows are split; a folder that is split already is what it is."""
    frame.to_parquet(tmp_path / "rows.parquet")
    one = loader(tmp_path / "rows.parquet").fingerprint()
    assert loader(tmp_path / "rows.parquet").fingerprint() == one
    assert loader(tmp_path / "rows.parquet", seed=1).fingerprint() != one
    assert loader(tmp_path / "rows.parquet", test_fraction=0.3).fingerprint() != one
    (tmp_path / "split").mkdir()
    for split in SPLITS:
        frame.to_parquet(tmp_path / f"split/{split}.parquet")
    assert loader(tmp_path / "split", seed=1).fingerprint() == loader(tmp_path / "split").fingerprint()
