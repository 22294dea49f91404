"""The declared schema: rows that break it are named, kept, and never trained on."""

import datetime as dt
import json
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from mlops_lib import config, loaders, notebooks, tracking
from mlops_lib.columns.schema import COLUMNS_FILE, Schema
from mlops_lib.data_checks import declared, profile, rules
from mlops_lib.errors import ConfigError, DataError, NotebookError
from mlops_lib.settings import CheckSettings, ColumnCheck
from tests.support.feature_projects import ROOT

CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: checks}}
data:
  source: rows.csv
  key: id
  label: bought
  checks:
    unique: [id]
    columns: {columns}
pipeline: {{notebooks: {notebooks}}}
evaluation: {{threshold: 0.5}}
"""


def project(folder, columns, rows):
    (folder / "config.yaml").write_text(CONFIG.format(columns=columns, notebooks=ROOT / "notebooks"))
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return config.load(folder / "config.yaml")


def found(frame, unique=(), **columns):
    checked = CheckSettings(columns={n: ColumnCheck(**c) for n, c in columns.items()}, unique=unique)
    return [(f.row, f.column, f.rule) for f in rules.failures(pd.DataFrame(frame), checked).itertuples()]


@pytest.mark.parametrize(
    ("check", "good", "bad", "rule"),
    [
        ({"type": "integer"}, [1, 2.0], 2.5, "is integer"),
        ({"type": "integer"}, [1, 2], "x", "is integer"),
        ({"type": "number"}, [1.5, 2], "1,5", "is number"),
        ({"type": "text"}, ["a", "b"], 3, "is text"),
        ({"type": "boolean"}, [True, False], "yes", "is boolean"),
        ({"type": "datetime"}, ["2026-01-01", "2026-02-01"], "soon", "is datetime"),
        ({"type": "datetime"}, ["2026-01-01", "2026-02-01"], 5, "is datetime"),
        ({"min": 0}, [0, 1], -0.5, "min 0"),
        ({"max": 9}, [0, 9], 10, "max 9"),
        ({"values": ("a", "b")}, ["a", "b"], "c", "one of ['a', 'b']"),
        ({}, [1, 2], None, "not missing"),
    ],
)
def test_each_rule_finds_the_row_that_breaks_it_and_no_other(check, good, bad, rule):
    """The position is that of the row, counted from 0."""
    assert found({"a": [good[0], bad, good[1]]}, a=check) == [(1, "a", rule)]
    assert found({"a": good}, a=check) == []


def test_numbers_written_as_text_are_all_wrong():
    """A column of text that could be read as numbers would fail in training, not here: so it fails here."""
    assert [row for row, *_ in found({"a": ["1", "2"]}, a={"type": "number"})] == [0, 1]


def test_nulls_are_fine_where_they_are_declared():
    """An integer column with a gap, which pandas reads as float, is an integer column with a gap."""
    assert found({"a": [1.0, None, 3.0]}, a={"type": "integer", "nullable": True, "min": 1}) == []


def test_doubled_keys():
    """Every row of a doubled key is listed."""
    assert found({"a": [1, 2, 1]}, a={"unique": True}) == [(0, "a", "unique"), (2, "a", "unique")]
    rows = found({"a": [1, 1, 1], "b": [1, 2, 1]}, unique=("a", "b"))
    assert sorted({row for row, *_ in rows}) == [0, 2]


def test_integers_are_no_times():
    """They could be seconds, or days, since any moment."""
    assert [row for row, *_ in found({"a": [5, 6]}, a={"type": "datetime"})] == [0, 1]


@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_unique_comes_once_in_all_splits_together(tmp_path, streaming):
    """A key in train and in test makes the test no test: both rows are listed, whatever split they are in."""
    (tmp_path / "rows").mkdir()
    for number, split in enumerate(("train", "validation", "test")):
        ids = range(100 * number, 100 * number + 50)
        rows = pd.DataFrame({"id": ids, "a": 1.0, "bought": [0, 1] * 25})
        if split == "test":
            rows.loc[7, "id"] = 3
        rows.to_parquet(tmp_path / f"rows/{split}.parquet")
    project(tmp_path, "{a: {}}", {"id": [1]})
    settings = config.load(tmp_path / "config.yaml", {"data.source": "rows", "data.streaming": streaming})
    with pytest.raises(DataError, match=r"2 of 150 rows break") as caught:
        declared.require(settings, loaders.from_settings(settings))
    assert "train row 3: id = " in str(caught.value) and "test row 7: id = " in str(caught.value)


def test_lists_cannot_be_unique_and_it_is_said(tmp_path):
    """A column of lists is named, with what to do; without the rule it passes and has its line in the profile."""
    rows = pd.DataFrame({"id": range(60), "a": [[i % 2] for i in range(60)], "bought": [0, 1] * 30})
    project(tmp_path, "{a: {unique: true}}", {"id": [1]})
    rows.to_parquet(tmp_path / "rows.parquet")
    settings = config.load(tmp_path / "config.yaml", {"data.source": "rows.parquet"})
    with pytest.raises(DataError, match=r"'a' cannot be checked.*data\.checks"):
        declared.require(settings, loaders.from_settings(settings))
    table = profile.table(rows, "bought")
    assert table.loc["a", "distinct"] == 2 and table.loc["a", "alone tells the label (ROC AUC)"] == 1.0
    assert profile.warnings(rows, rows.head(0), ["a"], "bought")[0].startswith("a alone predicts")


def test_bad_rows_are_listed_kept_and_not_written(tmp_path):
    """The message has split, row, column and value; the file has the whole row; the old dataset stays."""
    rows = {"id": range(100), "a": [1.0] * 100, "bought": [0, 1] * 50}
    good = project(tmp_path, "{a: {min: 0}}", rows)
    declared.write(good, loaders.from_settings(good), tmp_path / "data")
    before = loaders.prepared(good, tmp_path / "data").fingerprint()
    rows["a"][17] = rows["a"][60] = -7.0
    settings = project(tmp_path, "{a: {min: 0}}", rows)
    with pytest.raises(DataError, match=r"2 of 100 rows break data\.checks") as caught:
        declared.write(settings, loaders.from_settings(settings), tmp_path / "data")
    assert "a = -7.0 breaks 'min 0'" in str(caught.value)
    kept = pd.read_csv(tmp_path / ".mlops/checks/failing_rows.csv")
    assert sorted(kept["row.id"]) == [17, 60]
    where = kept.set_index("row.id").loc[17]
    assert loaders.from_settings(settings).load(where["split"])["id"].iloc[int(where["row"])] == 17
    assert loaders.prepared(good, tmp_path / "data").fingerprint() == before


@pytest.mark.slow
def test_the_notebook_stops_before_training_and_keeps_the_rows(tmp_path, monkeypatch):
    """01_get_data fails with the message; the failing rows are an artifact of the pipeline's run."""
    rows = {"id": range(100), "a": [1.0] * 99 + [-7.0], "bought": [0, 1] * 50}
    settings = project(tmp_path, "{a: {min: 0}}", rows)
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config.yaml"))
    parent = tracking.open_parent(settings)
    with pytest.raises(NotebookError, match="a = -7"):
        notebooks.run("01_get_data", parent_run_id=parent)
    client = tracking.connect(settings)
    assert "-7.0" in Path(client.download_artifacts(parent, declared.ARTIFACT)).read_text()
    assert not (tmp_path / ".mlops/data/train.parquet").exists()


@pytest.mark.slow
def test_the_notebook_logs_what_came_in(tmp_path, monkeypatch):
    """Good data passes, and each split is an input of the run with the fingerprint as digest."""
    rows = {"id": range(200), "a": [float(i % 10) for i in range(200)], "bought": [0, 1] * 100}
    settings = project(tmp_path, "{a: {min: 0}}", rows)
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config.yaml"))
    parent = tracking.open_parent(settings)
    # As a step on a cluster finds it: connecting leaves the address there, and kernels would inherit it.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = notebooks.run("01_get_data", parent_run_id=parent)
    run = tracking.connect(settings).get_run(outputs.parent_run_id)
    inputs = {item.tags[0].value: item.dataset.digest for item in run.inputs.dataset_inputs}
    assert inputs == dict.fromkeys(("train", "validation", "test"), outputs.fingerprint[:36])
    dataset = run.inputs.dataset_inputs[0].dataset
    assert json.loads(dataset.profile)["kinds"] == {"a": "number"}
    assert {"name": "a", "type": "double", "required": True} in json.loads(dataset.schema)["mlflow_colspec"]
    kept = Path(tracking.connect(settings).download_artifacts(parent, COLUMNS_FILE)).read_text()
    assert Schema.from_json(kept) == loaders.prepared(settings).schema
    record = tracking.connect(settings).download_artifacts(parent, "notebooks/01_get_data.html")
    shown = Path(record).read_text()
    assert "numbers from 0 to 9" in shown and "0 rows without bought were left out" in shown


def test_a_bad_rule_is_an_error_of_the_settings(tmp_path):
    """The message has the whole key and what is known there."""
    with pytest.raises(
        ConfigError, match=r"Unknown key 'data\.checks\.columns\.a\.mni'.*type, nullable, unique, min"
    ):
        project(tmp_path, "{a: {mni: 0}}", {"id": [1]})
    with pytest.raises(ConfigError, match=r"'data\.checks\.columns\.a\.type' has value 'int'"):
        project(tmp_path, "{a: {type: int}}", {"id": [1]})


def test_a_feature_that_knows_the_label_is_warned_of():
    """By rank, by the gaps it has, or by category; shared keys and constants too. Honest data has no warning."""
    n = 400
    label = pd.Series([0, 1] * (n // 2))
    honest = pd.Series([float((i * 7919) % 101) for i in range(n)])
    frame = pd.DataFrame(
        {
            "id": range(n),
            "honest": honest,
            "rank": -label * 10 + honest / 1000,
            "gap": honest.where(label == 1),
            "category": label.map({0: "no", 1: "yes"}),
            "constant": 1,
            "y": label,
        }
    )
    features = ["honest", "rank", "gap", "category", "constant"]
    said = profile.warnings(frame, frame.assign(id=frame["id"] + n - 2), features, "y", "id")
    assert [text.split()[0] for text in said] == ["rank", "gap", "category", "constant", "2"]
    assert profile.warnings(frame, frame.assign(id=frame["id"] + n), ["honest"], "y", "id") == []
    table = profile.table(frame, "y")
    assert table.loc["gap", "missing"] == 0.5 and table.loc["rank", "alone tells the label (ROC AUC)"] == 1.0
    number = frame.assign(y=honest * 3)
    assert profile.warnings(number, number.head(0), ["honest", "gap"], "y")[0].startswith("honest alone")


def test_decimals_and_times_that_know_the_label_are_warned_of():
    """As a database gives them: exact decimals, instants, Python's dates, each with gaps; times have a real range."""
    n = 200
    label = pd.Series([0, 1] * (n // 2))
    day = [dt.date(2026, 1, 1) + dt.timedelta(days=int(y) * 400 + i % 300) for i, y in enumerate(label)]
    frame = pd.DataFrame(
        {
            "price": [Decimal(int(y) * 1000 + i) / 7 for i, y in enumerate(label)],
            "at": pd.to_datetime(pd.Series(day), utc=True) + pd.to_timedelta(range(n), "s"),
            "day": day,
            "name": [f"name {i}" for i in range(n)],
            "y": label,
        }
    )
    frame.loc[[0, 51], ["price", "at", "day"]] = None
    names = ["price", "at", "day", "name"]
    assert [text.split()[0] for text in profile.warnings(frame, frame.head(0), names, "y")] == names[:3]
    table = profile.table(frame, "y")
    assert table.loc["at", "min"] == frame["at"].min() and table.loc["at", "max"] == frame["at"].max()
    assert table.loc["day", "min"].date() == frame["day"].dropna().min()
    assert table.loc["name", ["min", "median", "max"]].tolist() == ["", "", ""]


def test_the_example_passes_its_own_checks_and_has_no_leak():
    """What config.yaml declares of CDNOW is true of it."""
    settings = config.load(ROOT / "config.yaml")
    dataset = loaders.from_settings(settings)
    assert declared.require(settings, dataset) > 20_000
    said = profile.warnings(
        dataset.load("train"), dataset.load("test"), list(dataset.schema.features), "repurchased", "user_id"
    )
    assert said == []


@pytest.mark.slow
def test_several_writers_of_one_folder_do_not_disturb_each_other(tmp_path):
    """A search, an evaluation and a notebook write the same data at once: each writes all rows, and no file is left over."""
    rows = [{"id": i, "a": i % 7, "bought": i % 2} for i in range(300)]
    settings = project(tmp_path, "{id: {type: integer}}", rows)

    def write(_):
        return declared.write(settings, loaders.from_settings(settings), tmp_path / "data")

    with ThreadPoolExecutor(6) as writers:
        counts = list(writers.map(write, range(12)))
    assert all(sum(count.values()) == 300 for count in counts)
    assert not list((tmp_path / "data").glob(".*"))


def test_the_folder_of_a_killed_writer_is_deleted_later(tmp_path):
    """A write deletes folders that are older than a day; a younger one may still have a writer."""
    rows = [{"id": i, "a": i % 7, "bought": i % 2} for i in range(300)]
    settings, folder = project(tmp_path, "{id: {type: integer}}", rows), tmp_path / "data"
    old, new = folder / ".unchecked-old", folder / ".unchecked-new"
    for left in (old, new):
        left.mkdir(parents=True)
    os.utime(old, (0, 0))
    declared.write(settings, loaders.from_settings(settings), folder)
    assert new.is_dir() and not old.exists()


def test_dates_of_several_forms_are_dates():
    """The form of the first value does not decide about the others."""
    forms = ["2026-01-01", "2026-01-01 10:00:00", "2026-01-01T10:00:00.5Z", "2026-01-01T10:00:00+09:00"]
    assert not found({"a": forms}, a={"type": "datetime"})


def test_a_column_that_is_no_feature_is_checked_too(tmp_path):
    """A rule for a column that was left out of the features, or for the time of the split, was ignored."""
    rows = {"id": range(90), "code": [f"c{i}" for i in range(90)], "day": 1, "x": [1.5, 2.5, 0.5] * 30,
            "bought": ["yes", "no"] * 45}  # fmt: skip
    settings = project(tmp_path, "{code: {values: [c1, c2]}, day: {min: 2}}", rows)
    dataset = loaders.from_settings(settings)
    assert not {"code", "day"} <= set(dataset.schema.features)
    with pytest.raises(DataError, match=r"90 of 90 rows break data.checks"):
        declared.write(settings, dataset, tmp_path / "data")
