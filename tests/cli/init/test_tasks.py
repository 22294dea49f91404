"""The tasks ranking and forecast: what `mlops init` proposes where the user names them, and the path to a served answer."""

import numpy as np
import pandas as pd
import pytest

from mlops_lib import config, registry, wrappers
from tests.support.logged_service import ask
from tests.support.projects import Project


@pytest.fixture
def results() -> pd.DataFrame:
    """60 queries with eight results each, relevant where they match."""
    random = np.random.default_rng(0)
    query = np.repeat(np.arange(60), 8)
    match = random.normal(size=480)
    relevance = np.clip(np.round(match + random.normal(0, 0.3, 480)), 0, 3).astype(int)
    return pd.DataFrame(
        {"user": query // 2, "query_id": query, "match": match, "price": random.random(480), "relevance": relevance}
    )  # fmt: skip


@pytest.fixture
def sales() -> pd.DataFrame:
    """Two stores for 120 days, with a week and an event."""
    random = np.random.default_rng(0)
    days = pd.date_range("2026-01-01", periods=120)
    week = 1 + 0.4 * np.sin(2 * np.pi * np.arange(120) / 7)
    rows = []
    for store, level in (("서울", 100), ("부산", 40)):
        event = random.integers(0, 2, 120)
        amount = level * week + 20 * event + random.normal(0, 2, 120)
        place = {"store": store, "level": level, "weekday": days.day_name(), "event": event}
        rows.append(pd.DataFrame({"date": days.strftime("%Y-%m-%d"), **place, "sales": amount.round(2)}))
    return pd.concat(rows, ignore_index=True)


def test_the_column_of_the_group_is_proposed(init, written, results):
    """A query before a user; the threshold is between an order by chance and a linear model."""
    results.to_csv("results.csv", index=False)
    status, shown = init("--source", "results.csv", "--task", "ranking", "--label", "relevance")
    assert status == 0, shown
    content = written()
    assert content["data"]["key"] == "query_id" and "split" not in content["data"]
    judged = content["evaluation"]
    assert (judged["task"], judged["metric"], judged["baselines"]) == ("ranking", "ndcg_at_k", ["constant"])
    assert 0.6 < judged["threshold"] < 1


def test_a_property_of_a_group_is_not_proposed(init, written, results):
    """user_age comes before user_id in the alphabet."""
    rows = results.drop(columns="query_id").rename(columns={"user": "user_id"})
    rows.assign(user_age=20 + rows["user_id"] % 7).to_csv("results.csv", index=False)
    status, shown = init("--source", "results.csv", "--task", "ranking", "--label", "relevance")
    assert status == 0 and written()["data"]["key"] == "user_id", shown


def test_a_property_of_a_series_is_not_proposed(init, written, sales):
    """Each store has an area of its own, so an area has one row for each time, too."""
    sales.rename(columns={"store": "store_id", "level": "store_area"}).to_csv("sales.csv", index=False)
    status, shown = init("--source", "sales.csv", "--task", "forecast", "--label", "sales")
    assert status == 0 and written()["data"]["key"] == "store_id", shown


def test_time_and_series_are_proposed(init, written, sales):
    """The series has one row for each time; without one, all rows are one series."""
    sales.to_csv("sales.csv", index=False)
    options = ("--task", "forecast", "--label", "sales")
    status, shown = init("--source", "sales.csv", *options, "--set", "evaluation.seasonality=7")
    assert status == 0, shown
    assert written()["data"]["key"] == "store"
    assert written()["data"]["split"] == {"by": "time", "column": "date"}
    assert written()["evaluation"]["metric"] == "mase"
    sales[sales["store"] == "서울"].drop(columns=["store", "level"]).to_csv("one.csv", index=False)
    status, shown = init("--source", "one.csv", *options, folder="one")
    assert status == 0 and "all rows are one series" in shown, shown


def test_neither_is_proposed_by_itself(init, written, results, sales):
    """Numbers are a regression or classes, unless the user names the task."""
    for name, rows, label in (("a", results, "relevance"), ("b", sales, "sales")):
        rows.to_csv(f"{name}.csv", index=False)
        status, shown = init("--source", f"{name}.csv", "--label", label, folder=name)
        assert status == 0, shown
        assert not {"ranking", "forecast"} & set(shown.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "ranking", "--key", ""], "Name the column of the group with --key"),
        (["--task", "forecast", "--time", ""], "A forecast needs the time of each row. Name the column with --time"),
        (["--task", "ranking", "--label", "day"], "is -1 in some rows, and a relevance is 0 or more"),
        (["--task", "forecast", "--label", "place"], "which are no numbers"),
    ],
)  # fmt: skip
def test_a_task_without_its_columns_is_an_error_before_a_file_is_written(init, tmp_path, options, words):
    rows = pd.DataFrame({"place": ["a", "b"] * 30, "day": np.arange(-1, 59), "y": np.arange(60.0)})
    rows.to_csv("rows.csv", index=False)
    status, shown = init(
        "--source", "rows.csv", *([] if "--label" in options else ["--label", "y"]), *options
    )
    assert status and words in " ".join(shown.split())
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ranking", "forecast"])
def test_from_a_table_through_four_notebooks_to_a_served_answer(
    init, results, sales, tmp_path, blank_store, task
):
    """The registered model passes the gate, and the service answers as the model does, with the rows of the source."""
    rows, label = (results, "relevance") if task == "ranking" else (sales, "sales")
    rows.to_csv("rows.csv", index=False)
    status, shown = init("--source", "rows.csv", "--task", task, "--label", label)
    assert status == 0, shown
    project = Project(tmp_path / "mine")
    (project.root / ".mlops").mkdir(exist_ok=True)
    (project.root / ".mlops/mlflow.db").write_bytes(blank_store.read_bytes())
    done = project.mlops("run", warm=True)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = config.load(project.config_file)
    model = wrappers.load(registry.Registry(settings).resolve("mine", version=1).uri)
    sent = rows.head(8).to_dict("records")
    status, answer = ask(model.folder, tmp_path, "/predict", {"inputs": sent})
    assert status == 200, answer
    assert answer["predictions"] == pytest.approx(model.predict(sent), rel=1e-9)
    if task == "ranking":  # the group's best result comes first
        assert rows["relevance"][int(np.argmax(answer["predictions"]))] == rows.head(8)["relevance"].max()
