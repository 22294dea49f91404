"""The default example: its features against a customer worked out by hand, and its score."""

import statistics
from pathlib import Path

import pandas as pd
import pytest

from examples.repurchase.features import CUTOFF, HORIZON_DAYS, customers
from mlops_lib import config, loaders, wrappers

ROOT = Path(__file__).parents[2]


def purchases(*rows: tuple[int, str, int, float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "date", "quantity", "amount"])
    return frame.assign(date=pd.to_datetime(frame["date"]))


def test_one_customer_by_hand():
    """Two purchases on one day count as one day; what comes after the cutoff is label, never feature."""
    (row,) = customers(
        purchases(
            (7, "1997-01-10", 1, 10.0),
            (7, "1997-03-01", 2, 30.0),
            (7, "1997-03-01", 1, 5.0),
            (7, "1997-09-20", 1, 15.0),
            (7, "1997-12-24", 9, 900.0),
        )
    ).to_dict("records")
    assert row == {
        "user_id": 7,
        "frequency": 2,  # three days with a purchase, the first not counted
        "recency_days": 253,  # 10 January to 20 September
        "tenure_days": 263,  # 10 January to 30 September
        "mean_amount": 20.0,  # (10 + 35 + 15) / 3 days
        "total_amount": 60.0,
        "quantity": 5,
        "days_since_last": 10,
        "repurchased": 1,
    }


@pytest.mark.parametrize(
    ("date", "label"),
    [("1997-09-30", 0), ("1997-10-01", 1), ("1998-06-30", 1), ("1998-07-01", 0)],
)
def test_the_label_looks_from_the_day_after_the_cutoff_to_the_horizon(date, label):
    """Both ends of the period, to the day."""
    assert pd.Timestamp("1998-06-30") == CUTOFF + pd.Timedelta(days=HORIZON_DAYS)
    (row,) = customers(purchases((1, "1997-02-01", 1, 9.0), (1, date, 1, 9.0))).to_dict("records")
    assert row["repurchased"] == label


def test_a_customer_who_comes_after_the_cutoff_has_no_row():
    """Without a purchase before the cutoff there are no features."""
    assert customers(purchases((1, "1997-02-01", 1, 9.0), (2, "1997-11-01", 1, 9.0)))["user_id"].tolist() == [
        1
    ]


def test_a_csv_of_the_purchases_gives_the_same_customers(project):
    """Dates that are text in a CSV file mean the same days."""
    from_parquet = loaders.from_settings(project.settings()).load("train")
    csv = project.root / "purchases.csv"
    pd.read_parquet(project.root / "purchases.parquet").to_csv(csv, index=False)
    from_csv = loaders.from_settings(project.settings(data__source=str(csv))).load("train")
    pd.testing.assert_frame_equal(from_csv, from_parquet)


def test_the_data_is_all_of_cdnow():
    """Every purchase of 23,570 customers, and 30 % of them come back."""
    settings = config.load(ROOT / "config.yaml")
    raw = pd.read_parquet(settings.path(settings.data.source))
    assert (len(raw), raw["user_id"].nunique()) == (69_659, 23_570)
    rows = customers(raw)
    assert len(rows) == 23_570 and rows["user_id"].is_unique and 0.29 < rows["repurchased"].mean() < 0.31
    assert rows.notna().all().all()


@pytest.mark.slow
def test_the_default_configuration_ranks_well(make_project, blank_store, tmp_path):
    """Median test ROC AUC of three seeds is at least 0.765, and no worse than logistic regression by 0.01."""
    import shutil

    project = make_project(tmp_path / "project")
    shutil.copy(ROOT / "config.yaml", project.config_file)
    project.configure(data={"source": str(ROOT / "examples/repurchase/data/purchases.parquet")})
    (project.root / ".mlops").mkdir()
    shutil.copy(blank_store, project.root / ".mlops")
    loaders.from_settings(project.settings()).write(project.root / ".mlops" / "data")
    scores, baselines = [], []
    for seed in range(3):
        settings = project.settings(train__seed=seed)
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        model.train(dataset, settings)
        report = model.evaluate(dataset, settings)
        scores.append(report.metrics["roc_auc"].value)
        baselines.append(report.baselines["logistic"]["roc_auc"].value)
    print(f"ROC AUC {scores}, logistic {baselines}")
    assert statistics.median(scores) >= 0.765
    assert statistics.median(scores) >= baselines[0] - 0.01
    assert len(set(scores)) == 3
