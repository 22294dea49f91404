"""What a model learns from: labels of a view, columns of several parts, request data beside the labelled rows."""

import pandas as pd
import pytest

from mlops_lib import config, loaders
from mlops_lib.errors import DataError, FeatureStoreError
from mlops_lib.loaders.base import SPLITS
from tests.support import feature_zoo
from tests.support.feature_projects import DAY, NOW

CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: data}}
data:
  loader: feature_store
  source: {source}
  label: {label}
  feature_store: {{repo: repo, service: {service}}}
model: {{name: small, wrapper: sklearn, implementation: "sklearn.ensemble:HistGradientBoostingClassifier"}}
evaluation: {{threshold: 0.0}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with the repository of every kind of view, and labelled rows as CSV."""
    folder = tmp_path_factory.mktemp("labels")
    feature_zoo.fill(folder / "repo")
    rows = [(1 + n % 6, NOW - n % 3 * DAY / 8, n % 2, n / 7, 1 + n % 5, "2026-11-01") for n in range(120)]
    columns = ["user_id", "event_timestamp", "bought", "price", "pieces", "when"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "labels.csv", index=False)
    return folder


def loader(folder, service, label="bought", source="labels.csv", **overrides):
    (folder / "config.yaml").write_text(CONFIG.format(service=service, label=label, source=source))
    named = {f"data.{name}": value for name, value in overrides.items()}
    return loaders.from_settings(config.load(folder / "config.yaml", named))


def whole(made):
    return pd.concat([made.load(split) for split in SPLITS])


@pytest.mark.slow
def test_request_data_are_columns_of_the_labelled_rows(folder):
    """The model learns from the service's features alone, unless data.features names a column of the request too."""
    made = loader(folder, "only_computed")
    assert list(made.schema.features) == ["total"] and len(whole(made)) == 120
    assert made.tags["mlops.on_demand_features"].startswith('["total=')
    both = loader(folder, "only_computed", features=("price", "total"))
    assert list(both.schema.features) == ["price", "total"]
    assert both.tags["mlops.features"] == '["total"]'


def test_request_data_that_the_rows_lack_are_named(folder):
    """Column, feature and remedy, before anything is joined."""
    rows = pd.read_csv(folder / "labels.csv").drop(columns=["price", "when"])
    rows.to_csv(folder / "poor.csv", index=False)
    with pytest.raises(DataError, match=r"no column 'price' \(request data of total\), 'when'"):
        loader(folder, "only_computed", source="poor.csv").load("train")


@pytest.mark.slow
def test_columns_of_several_parts_need_a_kind_or_are_left_out(folder):
    """The error names each with its type in the store, and the setting that leaves them out."""
    with pytest.raises(
        DataError, match=r"'tags' \(MAP\), 'extra' \(JSON\), 'address' \(STRUCT\).*tags: drop"
    ) as caught:
        loader(folder, "structured").load("train")
    assert "vector" not in str(caught.value), "a list of numbers is an array"
    kinds = {"tags": "category", "extra": "text", "address": "drop"}
    made = loader(folder, "structured", columns=kinds)
    assert {name: c.kind for name, c in made.schema.features.items()} == {
        "tags": "category", "extra": "text", "vector": "array", "whole": "integer"
    }  # fmt: skip
    assert '{"kind":"a","level":"1"}' in set(made.load("train")["tags"])
    chosen = loader(folder, "structured", features=("whole",))
    assert list(chosen.schema.features) == ["whole"]
    assert made.fingerprint() != chosen.fingerprint()


def test_written_columns_of_several_parts_come_back(folder, tmp_path):
    """Lists and texts survive the dataset's Parquet files."""
    made = loader(folder, "structured", columns={"tags": "category", "extra": "text", "address": "drop"})
    made.write(tmp_path)
    back = loaders.prepared(config.load(folder / "config.yaml"), tmp_path)
    kinds = [{name: column.kind for name, column in one.schema.features.items()} for one in (back, made)]
    assert kinds[0] == kinds[1]
    first = back.load("train").iloc[0]
    assert [float(number) for number in first["vector"]] == made.load("train").iloc[0]["vector"]


@pytest.mark.slow
def test_a_label_comes_from_a_label_view_of_the_service(folder):
    """`good` is the label; `labeler` is known only with it, and is no feature unless it is named."""
    rows = pd.read_csv(folder / "labels.csv").drop(columns="bought")
    rows[~rows["user_id"].isin([6])].to_csv(folder / "spine.csv", index=False)
    made = loader(folder, "labelled", label="good", source="spine.csv")
    assert list(made.schema.features) == ["whole", "amount"]
    assert set(whole(made)["good"]) == {0, 1} and len(whole(made)) == 100
    named = loader(folder, "labelled", label="good", source="spine.csv", features=("whole", "labeler"))
    assert list(named.schema.features) == ["whole", "labeler"]


def test_a_row_that_has_no_label_in_the_view_is_named(folder):
    """User 6 has none."""
    pd.read_csv(folder / "labels.csv").drop(columns="bought").to_csv(folder / "all.csv", index=False)
    with pytest.raises(DataError, match="20 rows have no 'good'"):
        loader(folder, "labelled", label="good", source="all.csv").load("train")


def test_the_rows_of_a_label_view_are_the_labelled_rows(folder):
    """No file at all: each user's last label at its time, with the features of that time."""
    provider = loader(folder, "plain").provider
    rows = provider.view_rows("verdicts", "event_timestamp")
    assert list(rows) == ["user_id", "event_timestamp", "good", "labeler"]
    assert rows["user_id"].tolist() == [1, 2, 3, 4, 5] and rows["good"].tolist() == [1, 0, 1, 0, 1]
    made = loader(folder, "labelled", label="good", source="view://verdicts", features=("whole", "amount"))
    frames = made.labels.frames.values()
    assert sorted(pd.concat(frames)["whole"].dropna()) == [10, 20, 40, 50]


def test_the_rows_of_a_feature_view_are_its_whole_history(folder):
    """Two times for each of five users, in the order of their times."""
    rows = loader(folder, "plain").provider.view_rows("gaps", "known_at")
    assert len(rows) == 10 and rows["known_at"].is_monotonic_increasing
    assert str(rows["whole"].dtype) == "Int64"


def test_an_unknown_view_lists_those_there_are(folder):
    """An on-demand view has no rows of its own either."""
    provider = loader(folder, "plain").provider
    with pytest.raises(FeatureStoreError, match=r"no view 'verdict'.*verdicts"):
        provider.view_rows("verdict", "event_timestamp")
    with pytest.raises(FeatureStoreError, match="'priced' has no batch source"):
        provider.view_rows("priced", "event_timestamp")


def test_the_split_and_missing_labels_follow_the_settings(folder, tmp_path):
    """data.split, data.missing_label and data.missing_values hold for labelled rows as for other files."""
    rows = pd.read_csv(folder / "labels.csv")
    rows["event_timestamp"] = [NOW - n * DAY / 1000 for n in range(len(rows))]
    rows["bought"] = rows["bought"].where(rows.index % 10 != 0).map({0: "no", 1: "yes"}).fillna("?")
    rows.to_csv(folder / "gaps.csv", index=False)
    missing = {"source": "gaps.csv", "missing_values": ["?"]}
    with pytest.raises(DataError, match=r"12 rows have no 'bought'.*missing_label"):
        loader(folder, "only_computed", **missing).load("train")
    by_time = {"split.by": "time", "split.column": "event_timestamp"}
    made = loader(folder, "only_computed", **missing, missing_label="drop", **by_time)
    assert made.dropped_rows == 12 and len(whole(made)) == 108
    times = {split: made.load(split)["event_timestamp"] for split in SPLITS}
    assert times["train"].max() < times["validation"].min() <= times["validation"].max() < times["test"].min()
    assert made.schema.time == "event_timestamp" and list(made.schema.features) == ["total"]
    made.write(tmp_path)


def test_labelled_rows_may_name_their_split(folder, tmp_path):
    """data.split by a column: each row is in the split that it names, and the column is no feature."""
    rows = pd.read_csv(folder / "labels.csv")
    rows["fold"] = [["train", "train", "valid", "test"][n % 4] for n in range(len(rows))]
    rows.to_csv(folder / "folds.csv", index=False)
    made = loader(
        folder, "only_computed", source="folds.csv", **{"split.by": "column", "split.column": "fold"}
    )
    assert {split: len(made.load(split)) for split in SPLITS} == {"train": 60, "validation": 30, "test": 30}
    assert set(made.load("test")["bought"]) == {1} and set(made.load("validation")["bought"]) == {0}
    assert "fold" not in made.schema.features
    made.write(tmp_path)


@pytest.mark.parametrize("wrong", ["31/01/2026", "soon", 1767225600])
def test_a_time_that_is_not_in_iso_form_is_named(folder, wrong):
    """Neither a traceback of pandas, nor a day taken for a month, nor seconds taken for nanoseconds."""
    rows = pd.read_csv(folder / "labels.csv")
    rows.astype({"event_timestamp": object}).assign(event_timestamp=wrong).to_csv(
        folder / "odd.csv", index=False
    )
    with pytest.raises(FeatureStoreError, match=r"Row 0 .*'event_timestamp' is .*ISO form"):
        loader(folder, "only_computed", source="odd.csv").load("train")
