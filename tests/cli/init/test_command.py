"""`mlops init` without a terminal: the project that it writes, and the errors before it writes one."""

import contextlib
import functools
import http.server
import re
import shlex
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from mlops_lib import config
from tests.support.pictures import noise


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of an HTTP server of the files in a folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_table_alone_is_enough(init, written, customers, tmp_path):
    """Label, key, task, metric and threshold are proposed and printed, and written with their reasons."""
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv")
    assert code == 0, said
    assert (
        "400 rows, 6 columns" in said and "a usual name of a label" in said and "cd mine && mlops run" in said
    )
    found = written()
    assert found["data"] == {"source": "../churn.csv", "label": "Churn", "key": "customerID"} | {
        name: found["data"][name] for name in ("split",) if name in found["data"]
    }
    judged = found["evaluation"]
    assert judged["task"] == "classification" and judged["metric"] == "roc_auc"
    assert judged["baselines"] == ["majority"] and 0.5 < judged["threshold"] < 0.95
    text = (tmp_path / "mine/config.yaml").read_text()
    assert "which ignores the features" in text and "No (" in text and len(text.splitlines()) < 30
    assert min(p.name for p in (tmp_path / "mine/notebooks").iterdir()) == "01_get_data.ipynb"
    assert config.load(tmp_path / "mine/config.yaml").data.label == "Churn"


def test_numbers_are_a_regression(init, written, customers):
    """With r2 and the mean as the baseline; the label is not certain, so it is named."""
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv", "--label", "tenure", "--key", "")
    assert code == 0, said
    assert written()["evaluation"] | {"threshold": 0} == {
        "task": "regression", "metric": "r2", "threshold": 0, "baselines": ["mean"],
    }  # fmt: skip
    assert written()["data"]["key"] == ""


def test_a_label_without_a_usual_name_is_asked_for(init, customers, tmp_path):
    """Nothing is guessed without a terminal; --yes takes the proposal."""
    customers.rename(columns={"Churn": "left"}).to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv")
    assert code == 1 and "--label" in said and "Candidates: left, Contract" in said
    assert not (tmp_path / "mine").exists()
    assert init("--source", "churn.csv", "--yes")[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", "churn"), ["churn.csv has no column 'churn'", "Did you mean 'Churn'?", "customerID, tenure"]),
        (("--key", "customer"), ["no column 'customer' (--key)", "Did you mean 'customerID'?"]),
        (("--key", "Churn", "--label", "Churn"), ["'Churn' is both --label and --key"]),
        (("--key", "TotalCharges"), ["rows have no 'TotalCharges'", "--key ''"]),
        (("--label", "tenure", "--task", "classification"), ["71 distinct values in 400 rows", "regression"]),
        (("--label", "Contract", "--task", "regression"), ["'Contract' holds 'Two year'", "--task classification"]),
        (("--label", "customerID"), ["'customerID' has 400 distinct values", "too many for classes"]),
        (("--label", "TotalCharges"), ["of 400 rows have no TotalCharges, the first of them row ", "--missing-label drop"]),
        (("--task", "text"), ["--task is 'text'", "classification, regression"]),
        (("--metric", "auc"), ["--metric is 'auc'", "roc_auc"]),
        (("--metric", "mine:gain"), ["--metric is 'mine:gain'", "in config.yaml for a metric of your own"]),
        (("--time", "customerID", "--key", "customerID"), ["'customerID' is both --time and --key"]),
        (("--time", "Churn", "--label", "Churn"), ["'Churn' is --time and also"]),
        (("--time", "Contract"), ["churn.csv", "'Contract', the time of the split, is 'Two year'", "a time such as 2026-01-31 12:00:00"]),
        (("--metric", "auc", "--set", "evaluation.metric=f1"), ["--set evaluation.metric and --metric are the same"]),
        (("--set", "evaluation.threshold=10"), ["has value 10 in --set evaluation.threshold", "roc_auc is 1 at most"]),
        (("--label", "tenure", "--set", "evaluation.threshold=10"), ["since r2 is 1 at most"]),
        (("--set", "data.columns.signup=date"), ["has value 'date' in --set data.columns. Input should be"]),
        (("--missing-label", "fill"), ["--missing-label is 'fill'"]),
        (("--table", "orders"), ["--table and --query are for a database"]),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_is_an_error_before_a_file_is_written(
    init, customers, tmp_path, options, words
):
    """The message names the source, the column, the values and the remedy."""
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv", *options)
    assert code == 1 and [word for word in words if word not in said] == [], said
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("options", [(), ("--task", "regression"), ("--task", "classification")])
@pytest.mark.parametrize("form", ["{},500,000", "₩{},000", "{}.5kg"])
def test_a_label_of_numbers_that_only_people_read_is_an_error_with_that_remedy(
    init, customers, form, options
):
    """They are not called classes, and not texts that cannot be numbers."""
    customers["paid"] = [form.format(n) for n in range(1, len(customers) + 1)]
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv", "--label", "paid", *options)
    assert code == 1 and "'paid'" in said and "they look like numbers, such as" in said
    assert "store them as numbers in the source" in said and "Set --task" not in said


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["Yes"] * 100, ["is 'Yes' in all 100 rows", "nothing to learn"]),
        (["a"] * 60 + ["b"] * 39 + ["c"], ["'c' has 1", "fewer than 3 rows", "merge the classes"]),
        ([None] * 100, ["has no value in any of 100 rows"]),
        ([f"c{i % 60}" for i in range(100)], ["60 distinct values", "too many"]),
        (["a", "b", "b "] * 33 + ["a"], ["the classes 'b' and 'b ', which look the same"]),
        ([0.5, float("-inf")] * 50, ["is infinite in 50 rows, the first of them row 1"]),
    ],
)
def test_a_label_that_cannot_be_learned_is_an_error(init, tmp_path, labels, words):
    """A single class, a class with one row, no value at all, classes that look the same, an infinite number."""
    pd.DataFrame({"x": np.arange(100) * 1.5, "label": labels}).to_parquet("rows.parquet")
    code, said = init("--source", "rows.parquet")
    assert code == 1 and [word for word in words if word not in said] == [], said
    assert not (tmp_path / "mine").exists()


def test_a_label_below_the_header_is_named(init, tmp_path):
    """A file whose header has two lines."""
    (tmp_path / "rows.csv").write_text("고객,결과\nx,y\n" + "1,a\n2,b\n" * 20)
    code, said = init("--source", "rows.csv", "--label", "y")
    assert code == 1 and "'y' (--label). It is in the row after the header" in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.csv", None, ["There is no file or folder", "rows.csv"]),
        ("empty.csv", "", ["empty.csv is empty"]),
        ("head.csv", "a,b,label\n", ["head.csv", "no rows"]),
        ("one.csv", "label\n1\n0\n", ["one column, 'label'"]),
        ("tilde.csv", "a~b~label\n1~2~3\n4~5~6\n", ["one column named 'a~b~label'", "'~'"]),
        ("few.csv", "a,label\n1,0.5\n2,1.5\n", ["rows are too few", "none of them"]),
    ],
)
def test_a_file_that_is_no_table_is_an_error(init, tmp_path, name, content, words):
    """Missing, empty, without rows, with one column, in another format."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    if content is not None:
        (tmp_path / name).write_text(content)
    code, said = init("--source", name)
    assert code == 1 and [word for word in words if word not in said] == [], said
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    "name",
    ["no", "null", "1e3", "예측 대상", "a: b", "it's", 'say "x"', "#1", "- x", "{a}", "2024", "line\ttab"],
)
def test_names_are_taken_as_they_are(init, tmp_path, name):
    """A name that YAML reads as a number, a truth, a comment or structure is text; Korean stays readable."""
    pd.DataFrame({"x": np.arange(100) * 1.5, name: [0, 1] * 50}).to_parquet("my rows #1.parquet")
    code, said = init("--source", "my rows #1.parquet", "--label", name, folder="2024")
    assert code == 0, said
    text = (tmp_path / "2024/config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["data"]["label"] == name
    settings = config.load(tmp_path / "2024/config.yaml")
    assert settings.model.name == "2024"
    assert settings.path(settings.data.source) == tmp_path / "my rows #1.parquet"
    assert "예측 대상" not in name or "예측 대상" in text


def test_a_column_that_gives_the_label_away_is_left_out(init, written, customers):
    """The reason of leaving and the code of the label: printed, and in config.yaml."""
    customers["reason"] = np.where(customers["Churn"] == "Yes", "price", None)
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv")
    assert code == 0 and "without reason" in said
    assert written()["data"]["columns"] == {"reason": "drop"}


def test_a_time_of_a_row_splits_the_rows(init, written, customers):
    """A date with such a name does it, a date of a customer does not."""
    customers.assign(timestamp=pd.date_range("2026-01-01", periods=400, freq="h")).to_parquet("rows.parquet")
    code, said = init("--source", "rows.parquet")
    assert code == 0, said
    assert written()["data"]["split"] == {"by": "time", "column": "timestamp"}


def test_a_rare_class_gets_into_every_split(init, written):
    """The split is stratified by the label."""
    pd.DataFrame({"x": np.arange(600) * 1.5, "label": ["rare" if i % 60 == 0 else "usual" for i in range(600)]}).to_csv(
        "rows.csv", index=False
    )  # fmt: skip
    code, said = init("--source", "rows.csv")
    assert code == 0, said
    assert written()["data"]["split"] == {"by": "label"}


def test_rows_without_a_label_are_left_out_when_asked(init, written, customers, tmp_path):
    """With their number in a comment."""
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv", "--label", "TotalCharges", "--missing-label", "drop")
    assert code == 0, said
    assert written()["data"]["missing_label"] == "drop"
    assert "of 400 rows have no TotalCharges" in (tmp_path / "mine/config.yaml").read_text()


@pytest.mark.slow
def test_a_database_is_a_source(init, written, customers, tmp_path):
    """By its address or as an SQLite file; the one table is found, of several one is named."""
    database = sa.create_engine("sqlite:///shop.db")
    customers.to_sql("customers", database, index=False)
    for source in ("shop.db", "sqlite:///shop.db"):
        code, said = init("--source", source)
        assert code == 0, said
        found = written()["data"]
        assert found["loader"] == "sql" and found["sql"] == {"table": "customers"}
        assert found["source"] == "sqlite:///../shop.db" and found["label"] == "Churn"
        shutil.rmtree(tmp_path / "mine")
    customers.to_sql("others", database, index=False)
    code, said = init("--source", "shop.db")
    assert code == 1 and "2 tables: customers, others" in said and "--table" in said
    assert init("--source", "shop.db", "--query", "SELECT * FROM others ORDER BY customerID")[0] == 0


def test_an_address_with_a_password_is_refused(init, tmp_path):
    """Without showing it."""
    code, said = init("--source", "postgresql://me:t0p@host/db", "--label", "y")
    assert code == 1 and "t0p" not in said and "DATA_SOURCE_PASSWORD" in said
    assert not (tmp_path / "mine").exists()


def test_an_address_of_a_file_is_a_source(init, written, customers, tmp_path):
    """After an error nothing is left, the copy of the remote file included."""
    (tmp_path / "remote").mkdir()
    customers.to_csv("remote/churn.csv", index=False)
    with served(tmp_path / "remote") as address:
        code, said = init("--source", f"{address}/churn.csv", "--label", "nothing")
        assert code == 1 and "no column 'nothing'" in said and not (tmp_path / "mine").exists()
        code, said = init("--source", f"{address}/churn.csv")
        assert code == 0, said
        assert written()["data"]["source"] == f"{address}/churn.csv"


@pytest.mark.slow
def test_a_folder_that_is_split_already_stays_so(init, written, customers):
    """No split is proposed for it; a setting completes one without validation rows."""
    Path("ready").mkdir()
    for name, rows in {
        "train": customers[:250],
        "valid": customers[250:300],
        "test": customers[300:],
    }.items():
        rows.to_csv(f"ready/{name}.csv", index=False)
    code, said = init("--source", "ready")
    assert code == 0 and "250 train, 50 validation, 100 test" in said, said
    assert "split" not in written()["data"]
    Path("ready/valid.csv").unlink()
    code, said = init("--source", "ready", folder="other")
    assert code == 1 and "validation_from_train" in said and "--set SETTING=VALUE" in said
    assert init("--source", "ready", "--set", "data.split.validation_from_train=true", folder="other")[0] == 0


@pytest.mark.parametrize("text", ["data.csv.sep=;", "separator=;", "data.csv.separator", "no.such=1"])
def test_a_setting_that_does_not_exist_is_refused(init, customers, text):
    """With the form that is wanted."""
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv", "--set", text)
    assert code == 1 and text in said and "SETTING=VALUE" in said


def test_a_dialect_is_recognised_or_set(init, written, customers):
    """Korean text in cp949 with semicolons and decimal commas; a separator that nobody else has."""
    korean = customers.rename(columns={"customerID": "고객번호", "Churn": "이탈여부"})
    korean["이탈여부"] = korean["이탈여부"].map({"Yes": "예", "No": "아니오"})
    korean.to_csv("고객.csv", index=False, encoding="cp949", sep=";", decimal=",")
    code, said = init("--source", "고객.csv")
    assert code == 0, said
    assert (written()["data"]["label"], written()["data"]["key"]) == ("이탈여부", "고객번호")
    customers.to_csv("tilde.csv", index=False, sep="~")
    assert init("--source", "tilde.csv", "--set", "data.csv.separator=~", folder="other")[0] == 0


def test_a_class_that_train_does_not_have_is_an_error(init, customers, tmp_path):
    """A plan that is new in the latest rows: refused now and not after training, or counted as wrong when so set."""
    rows = customers.assign(
        date=pd.date_range("2026-01-01", periods=400), label=["old", "older"] * 150 + ["new"] * 100
    )
    rows.drop(columns="Churn").to_csv("rows.csv", index=False)
    code, said = init("--source", "rows.csv")
    assert code == 1 and "no row of the class 'new' (100 rows) of the test split" in said, said
    assert "--time ''" in said and not (tmp_path / "mine").exists()
    assert init("--source", "rows.csv", "--time", "")[0] == 0
    assert init("--source", "rows.csv", "--set", "evaluation.unknown_class=wrong", folder="other")[0] == 0


def test_a_table_without_features_is_an_error(init, written, tmp_path):
    """A row number is no feature unless it is named."""
    pd.DataFrame({"row": range(100), "label": ["a", "b"] * 50}).to_csv("rows.csv", index=False)
    code, said = init("--source", "rows.csv", "--key", "")
    assert code == 1 and "No column is left to learn from (row: distinct" in said, said
    assert not (tmp_path / "mine").exists()
    code, said = init("--source", "rows.csv", "--key", "", "--set", "data.columns={row: integer}")
    assert code == 0, said
    assert written()["data"]["columns"] == {"row": "integer"}


@pytest.mark.parametrize("metric", [("--metric", "mae"), ("--set", "evaluation.metric=mae")])
def test_a_threshold_that_was_given_is_printed_and_written_as_such(init, customers, tmp_path, metric):
    """It is checked against the metric that was given, which may go beyond 1."""
    customers.to_csv("churn.csv", index=False)
    code, said = init(
        "--source", "churn.csv", "--label", "tenure", *metric, "--set", "evaluation.threshold=10"
    )
    assert code == 0, said
    text = (tmp_path / "mine/config.yaml").read_text()
    assert yaml.safe_load(text)["evaluation"] | {"baselines": 0} == {
        "task": "regression", "metric": "mae", "threshold": 10, "baselines": 0,
    }  # fmt: skip
    assert " 10 " in said and "set with --set; mean " in said and "set with --set; mean " in text
    assert "half way" not in said + text and "does not reach" not in text


def test_kinds_of_columns_are_set_one_by_one(init, written, customers):
    """By a path that ends in the name of the column, which may have dots; a column that is left out stays so."""
    customers["reason"] = np.where(customers["Churn"] == "Yes", "price", None)
    customers["v1.0"] = np.arange(400) % 7
    customers.to_csv("churn.csv", index=False)
    options = ("--set", "data.columns.signup=datetime", "--set", "data.columns.v1.0=category")
    code, said = init("--source", "churn.csv", *options)
    assert code == 0, said
    assert written()["data"]["columns"] == {"reason": "drop", "signup": "datetime", "v1.0": "category"}


def test_a_column_with_a_kind_of_its_own_is_kept(init, written, customers):
    """Though it gives the label away: the user named it."""
    customers["reason"] = np.where(customers["Churn"] == "Yes", "price", None)
    customers.to_csv("churn.csv", index=False)
    assert init("--source", "churn.csv", "--set", "data.columns.reason=category")[0] == 0
    assert written()["data"]["columns"] == {"reason": "category"}


def test_settings_of_a_check_are_set_one_by_one(init, written, customers):
    """They are sections with the name of a column."""
    customers.to_csv("churn.csv", index=False)
    options = ("--set", "data.checks.columns.tenure.min=0", "--set", "data.checks.columns.tenure.max=100")
    code, said = init("--source", "churn.csv", *options)
    assert code == 0, said
    assert written()["data"]["checks"] == {"columns": {"tenure": {"min": 0, "max": 100}}}


def test_a_key_gives_way_to_a_time(init, written, customers):
    """A row number would be the key, and it is given as the time."""
    rows = customers.drop(columns="customerID").assign(row_id=range(400))
    rows.to_csv("rows.csv", index=False)
    code, said = init("--source", "rows.csv", "--time", "row_id")
    assert code == 0, said
    assert written()["data"]["key"] == "" and written()["data"]["split"]["column"] == "row_id"
    assert "its place decides" not in said


def test_texts_that_often_mean_missing_are_counted(init, written, customers):
    """The setting of the hint is taken as it is printed, and then there is no hint."""
    customers["Contract"] = ["NA", "N/A", "None", "null", "One year"] * 80
    customers.to_csv("churn.csv", index=False)
    code, said = init("--source", "churn.csv")
    assert code == 0 and "Contract has 'NA' in 80 rows" in said, said
    setting = shlex.split(said[said.index("--set") :])[1]
    code, said = init("--source", "churn.csv", "--set", setting, folder="other")
    assert code == 0 and "Contract has" not in said, said
    assert config.load(Path("other/config.yaml")).data.missing_values == ("N/A", "NA", "None", "null")


def test_a_constant_column_is_shown_as_such(init, customers):
    """A column with one value is no feature to look at; one with a value and gaps may be."""
    gaps = np.where(np.arange(len(customers)) % 3 == 0, None, "x")
    customers.assign(country="KR", sometimes=gaps).to_csv("churn.csv", index=False)
    _, said = init("--source", "churn.csv")
    use = {line.split()[0]: line.split()[2] for line in said.splitlines() if len(line.split()) > 3}
    assert use["country"] == "constant" and use["sometimes"] == "feature"


@pytest.mark.parametrize("form", ["%Y/%m/%d", "%d.%m.%Y", "%b %d %Y", "%m/%d/%Y"])
def test_a_time_in_another_form_than_iso_splits_the_rows(init, written, customers, form):
    """The date is proposed as the time, and the latest rows are the test split."""
    days = pd.date_range("2026-01-01", periods=400, freq="D").strftime(form)
    customers.assign(date=days).to_csv("rows.csv", index=False)
    code, said = init("--source", "rows.csv", "--time", "date", "--key", "")
    assert code == 0, said
    assert written()["data"]["split"] == {"by": "time", "column": "date"}


def test_a_folder_of_images_is_a_network(init, written, tmp_path):
    """Its size is that of most images; broken files are named before anything is written."""
    draw = np.random.default_rng(0)
    for number in range(30):
        size = {0: (400, 3), 1: (1, 1)}.get(number, (40, 32))
        file = tmp_path / "photos" / ("고양이", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise(draw, *size).save(file)
    code, said = init("--source", "photos")
    assert code == 0, said
    assert written()["data"]["loader"] == "images"
    assert written()["model"]["inputs"] == {"x": {"column": "image", "shape": [3, 32, 32]}}
    text = (tmp_path / "mine/config.yaml").read_text()
    unnamed = re.sub("  label: label.*\n", "", text)
    (tmp_path / "mine/config.yaml").write_text(unnamed)
    assert unnamed != text and config.load(tmp_path / "mine/config.yaml").data.label == "label"
    for name in ("dog/3.png", "고양이/2.png"):
        file = tmp_path / "photos" / name
        file.write_bytes(file.read_bytes()[:60])
    code, said = init("--source", "photos", folder="other")
    assert code and "2 of 30 values of column 'image' that were looked at are no images" in said
    assert "dog/3.png: 60 bytes, broken" in said and "고양이/2.png" in said
    assert not (tmp_path / "other/config.yaml").exists()
