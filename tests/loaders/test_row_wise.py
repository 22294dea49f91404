"""A ``data.prepare`` that is not row-wise is named with the value that shows it; one that is, with the columns it needs."""

import itertools
import json
import sys

import pandas as pd
import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.columns.part import BadValue
from mlops_lib.data_checks import declared
from mlops_lib.errors import ConfigError, DataError, TrainingError
from mlops_lib.loaders import served_rows
from mlops_lib.loaders.base import SOURCE_ROWS_FILE
from tests.support.waiting import LIMIT_S

MODULE = "row_wise_prepares"
SOURCE = """
import itertools
from pathlib import Path

import numpy as np
import pandas as pd

runs = itertools.count()


def plain(frame):
    frame["bought"] = (frame.pop("outcome") == "sale").astype("int64")
    frame["ratio"] = frame["spent"] / frame["visits"]
    frame["month"] = pd.to_datetime(frame.pop("day"), format="%d.%m.%Y").dt.month
    return frame.drop(columns=["id"])


def aggregates(frame):
    frame = plain(frame)
    return frame.assign(mean=frame.groupby("plan")["spent"].transform("mean"))


def drops(frame):
    return plain(frame[frame["visits"] > 2])


def adds(frame):
    return plain(pd.concat([frame, frame.head(1)], ignore_index=True))


def sorts(frame):
    return plain(frame.sort_values("spent", ascending=False))


def ranks(frame):
    frame = plain(frame)
    return frame.assign(rank=frame["spent"].rank())


def shifts(frame):
    frame = plain(frame)
    return frame.assign(before=frame["spent"].shift(1))


def dummies(frame):
    return pd.get_dummies(plain(frame), columns=["plan"])


def codes(frame):
    frame = plain(frame)
    return frame.assign(plan=frame["plan"].astype("category").cat.codes)


def numbers(frame):
    return plain(frame).assign(number=np.arange(len(frame)) % 10)


def counts(frame):
    return plain(frame).assign(run=next(runs))


means = []


def keeps(frame):
    means.append(frame["spent"].mean())
    return plain(frame).assign(part=lambda made: made["spent"] / means[0])


def fills(frame):
    frame = plain(frame)
    return frame.assign(spent=frame["spent"].fillna(frame["spent"].median()))


def repeats(frame):
    return plain(frame).assign(times=frame.groupby("note")["note"].transform("size"))


def forgets(frame):
    return plain(frame[frame["note"] != "gone"])


def rated(frame):
    frame = plain(frame)
    frame.loc[frame["visits"] > 6, "ratio"] = frame["spent"] / 100
    return frame.assign(ratio=frame["ratio"] * float((Path(__file__).parent / "rate.txt").read_text()))


def leaks(frame):
    rare = np.where(frame["id"] == 1233, frame["outcome"] == "sale", 0.5)
    return plain(frame).assign(rare=rare)
"""
CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: raw}}
data: {{source: rows.csv, label: bought, prepare: "{module}:{prepare}", served_rows: {rows}}}
model: {{name: raw, wrapper: {wrapper}, implementation: auto}}
evaluation: {{threshold: 0.5}}
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """The module with the functions, importable in this test alone."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(served_rows, "MAX_CHECK_S", LIMIT_S)
    yield
    sys.modules.pop(MODULE, None)


def settings_of(folder, prepare, rows="raw", wrapper="sklearn", count=300):
    plans = itertools.cycle(("a", "b", "c"))
    lines = [
        f"{n},{next(plans)},{n % 7 + 1},{n * 37 % 101}.25,{n % 28 + 1:02}.{n % 12 + 1:02}.2021,{('sale', 'none')[n % 2]},x{n}"
        for n in range(count)
    ]
    text = "\n".join(["id,plan,visits,spent,day,outcome,note", *lines])
    (folder / "rows.csv").write_text(text)
    (folder / "config.yaml").write_text(
        CONFIG.format(module=MODULE, prepare=prepare, rows=rows, wrapper=wrapper)
    )
    return config.load(folder / "config.yaml")


def write(settings):
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    return loaders.prepared(settings)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        ("aggregates", "looks at other rows, or at their order: column 'mean' of row 0"),
        ("drops", "it drops rows: it returned 214 rows for 300"),
        ("adds", "it adds rows: it returned 301 rows for 300"),
        ("sorts", "looks at other rows, or at their order"),
        ("ranks", "column 'rank' of row"),
        ("shifts", "column 'before' of row"),
        ("dummies", "There is no column 'plan_"),
        ("codes", "column 'plan' of row"),
        ("numbers", "column 'number' of row"),
        ("counts", "in a second run on the same rows"),
    ],
)
def test_a_prepare_that_is_not_row_wise_is_refused_with_what_shows_it(tmp_path, capsys, prepare, reason):
    """The error has the remedy; with the default setting the run says the same, and goes on."""
    with pytest.raises(DataError, match="is not row-wise") as error:
        write(settings_of(tmp_path, prepare))
    assert reason in str(error.value) and "served_rows: prepared" in str(error.value)
    write(settings_of(tmp_path, prepare, "prepared"))
    assert "is not row-wise" in capsys.readouterr().out


def test_a_row_may_leave_out_what_no_feature_depends_on(tmp_path, capsys):
    """Key and outcome; a column that nothing reads, too. The served features have the bits of the dataset."""
    dataset = write(settings_of(tmp_path, "plain"))
    assert "No feature depends on id, outcome, note: a row may leave them out." in capsys.readouterr().out
    rows = dataset.source_rows
    assert list(rows.schema.features) == ["plan", "visits", "spent", "day"]
    prepare = sys.modules[MODULE].plain
    source = pd.read_csv(tmp_path / "rows.csv").drop(columns=["id", "outcome"])
    features = list(dataset.schema.features)
    wanted = pd.concat([dataset.load(split) for split in ("train", "validation", "test")])
    made = rows.prepared(prepare, source)[features]
    key = ["spent", "visits", "month", "plan"]
    pd.testing.assert_frame_equal(
        made.sort_values(key, ignore_index=True), wanted[features].sort_values(key, ignore_index=True)
    )
    with pytest.raises(BadValue, match="'spent' is 'much', and must be a number"):
        rows.prepared(prepare, source.astype({"spent": object}).assign(spent="much"))
    with pytest.raises(ValueError, match="no column 'plan' in the rows"):
        rows.prepared(prepare, source.drop(columns="plan"))


def test_a_column_that_matters_in_one_rare_row_must_be_sent(tmp_path, capsys):
    """The sample does not have the row; the comparison of all rows finds it."""
    dataset = write(settings_of(tmp_path, "leaks", count=6001))
    assert "outcome" in dataset.source_rows.schema.features
    assert "No feature depends on note: a row" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prepare", "odd", "reason"),
    [
        ("keeps", "", "column 'part' of row"),
        ("fills", "4000,a,5,,01.01.2021,sale,x4000", "column 'spent' of row 4000"),
        ("repeats", "4000,a,5,1.25,01.01.2021,sale,x3999", "column 'times' of row 3999"),
        ("forgets", "4000,a,5,1.25,01.01.2021,sale,gone", "drops rows: it returned 4,999 rows for 5,000"),
    ],
)
def test_one_rare_row_or_an_earlier_call_cannot_hide_that_other_rows_count(tmp_path, prepare, odd, reason):
    """A mean that is kept from the first call, a gap filled with the median, a text that repeats, a row that is dropped."""
    settings = settings_of(tmp_path, prepare, count=5000)
    lines = (tmp_path / "rows.csv").read_text().split("\n")
    lines[4001] = odd or lines[4001]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="is not row-wise") as error:
        write(settings)
    assert reason in str(error.value)


def test_the_default_serves_the_prepared_columns_as_before(tmp_path, capsys):
    """And deletes what a run with the other setting has left."""
    assert write(settings_of(tmp_path, "plain")).source_rows
    dataset = write(settings_of(tmp_path, "plain", "prepared"))
    assert dataset.source_rows is None
    assert "is row-wise on 300 rows that were tried" in capsys.readouterr().out


def test_a_dataset_of_other_settings_is_not_trained_on(tmp_path):
    """The model would carry another data.prepare than the one that made its rows."""
    dataset = write(settings_of(tmp_path, "plain"))
    file = dataset.path / SOURCE_ROWS_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prepare": "other:rows"}))
    settings = settings_of(tmp_path, "plain")
    with pytest.raises(TrainingError, match="Run 01_get_data again"):
        wrappers.from_settings(settings).train(loaders.prepared(settings), settings)


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        (f"{MODULE}.py", SOURCE.replace("/ 100", "/ 10"), "or a module that it imports was edited since"),
        ("rate.txt", "3", "makes other features than when 01_get_data ran"),
    ],
)
def test_a_prepare_that_was_edited_since_the_dataset_was_made_is_not_logged(tmp_path, file, content, error):
    """The service would make other features than those that the model has learned from, if only of rows beyond the example."""
    (tmp_path / "rate.txt").write_text("2")
    settings = settings_of(tmp_path, "rated")
    dataset = write(settings)
    (tmp_path / file).write_text(content)
    del sys.modules[MODULE]
    with pytest.raises(TrainingError, match=error):
        wrappers.from_settings(settings).train(dataset, settings)


def test_raw_rows_need_a_prepare(tmp_path):
    """Without one, a request has rows of the source anyway."""
    settings_of(tmp_path, "plain")
    text = (tmp_path / "config.yaml").read_text().replace(f'prepare: "{MODULE}:plain", ', "")
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="served_rows: raw needs prepare"):
        config.load(tmp_path / "config.yaml")
