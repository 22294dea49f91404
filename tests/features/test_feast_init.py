"""The repository of `feast init`, as it is, through the four steps and the service."""

import subprocess
import sys
from datetime import UTC, datetime

import pandas as pd
import pytest

from examples.repurchase import demo
from mlops_lib import features, loaders, wrappers
from mlops_lib.errors import DataError, MlopsError
from mlops_lib.features.feast_scalars import python_value
from mlops_lib.registry import Registry
from tests.support import driver_project

pytestmark = pytest.mark.slow
SERVICE = "data__feature_store__service"
#: Columns of several parts of the services v2 and v3.
PARTS = {"driver_metadata": "category", "driver_config": "text", "driver_profile": "drop"}

#: Feast's own command, without what takes seconds to import.
FEAST = """
from mlops_lib.imports import FEAST_EXTRAS, unchecked, without
with without(FEAST_EXTRAS), unchecked():
    from feast.cli.cli import cli
cli()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The repository, registered by Feast's own command, and materialised; labelled rows beside it."""
    made = driver_project.make(tmp_path_factory.mktemp("drivers") / "project")
    repo = made.root / "drivers/feature_repo"
    subprocess.run([sys.executable, "-c", FEAST, "apply"], cwd=repo, check=True, capture_output=True)
    provider = features.from_settings(made.settings())
    provider.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))
    return made


def test_it_trains_and_serves_as_it_is(project):
    """Each served answer, from a driver and the request's data, is the prediction of the evaluation step."""
    done = project.mlops("run", warm=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    settings = project.settings()
    version = Registry(settings).resolve("drivers", stage="Staging")
    loader = loaders.from_settings(settings)
    rows = loader.labels.frames["test"].reset_index(drop=True)
    expected = wrappers.load(version.uri, "sklearn").predict(loader.load("test"))
    now = rows.index[rows["event_timestamp"] == rows["event_timestamp"].max()]
    sent = rows.loc[now, ["driver_id", "val_to_add", "val_to_add_2"]].to_dict("records")
    assert len(sent) > 40
    with demo.Service(project.config_file) as service:
        url = service.start()
        answer = demo.post(f"{url}/predict", {"inputs": sent})
        single = demo.post(f"{url}/predict", {"inputs": sent[0]})
        lacking = {name: value for name, value in sent[0].items() if name != "val_to_add_2"}
        with pytest.raises(MlopsError, match=r"no 'val_to_add_2' to compute 'conv_rate_plus_val1' from"):
            demo.post(f"{url}/predict", {"inputs": lacking})
    assert answer["predictions"] == expected[now].tolist()
    assert single["predictions"] == expected[now[0]]
    assert single["features"]["counts"]["computed"] == 2


@pytest.mark.parametrize("service", ["driver_activity_v1", "driver_activity_v2", "driver_activity_v3"])
def test_each_of_its_services_has_the_same_values_online(project, service):
    """Rows of now: point in time and online are the same, also for Map and Json columns and the push source."""
    settings = project.settings(**{SERVICE: service, "data__columns": {} if service.endswith("1") else PARTS})
    loader = loaders.from_settings(settings)
    loader.load("train")
    described, rows = (
        loader.service,
        driver_project.labelled_rows(50).assign(event_timestamp=datetime.now(UTC)),
    )
    joined = loader.provider.historical(described, rows, "event_timestamp")
    keys = rows[["driver_id"]].to_dict("records")
    asked = rows[["driver_id", "val_to_add", "val_to_add_2"]].to_dict("records")
    stored = [dict(row.values) for row in loader.provider.online(described, keys)]
    whole = [{**row, **values} for row, values in zip(asked, stored, strict=True)]
    computed = loader.provider.compute(described, whole)
    for row, values, found in zip(joined.to_dict("records"), whole, computed, strict=True):
        assert {n: python_value(v) for n, v in row.items()} == {n: {**values, **found}[n] for n in row}


def test_its_columns_of_several_parts_are_named_first(project):
    """Service v2 has a Map, a Json and a Struct column."""
    loader = loaders.from_settings(project.settings(**{SERVICE: "driver_activity_v2"}))
    with pytest.raises(
        DataError, match=r"'driver_metadata' \(MAP\), 'driver_config' \(JSON\), 'driver_profile' \(ST"
    ):
        loader.load("train")


def test_labels_that_were_pushed_to_its_label_view_are_learned(project):
    """Reviewers label each driver; the label view's rows are the labelled rows, and need no file."""
    from feast import FeatureService
    from feast.data_source import PushMode

    now = pd.Timestamp.now("UTC").floor("s")
    drivers = list(driver_project.DRIVERS)
    labels = {
        "driver_id": drivers, "is_reliable": [1, 0, 1, 0, 1], "quality_score": [0.5] * 5, "reviewer_notes": "fine",
        "labeler": "kim", "event_timestamp": now,
    }  # fmt: skip
    frame = pd.DataFrame(labels)
    settings = project.settings(
        data__source="view://driver_quality_labels", data__label="is_reliable", data__features=("conv_rate",),
        **{SERVICE: "driver_activity_v1"},
    )  # fmt: skip
    store = features.from_settings(settings).store
    for day in (1, 0):  # the second label of each driver replaces the first
        changed = frame.assign(
            event_timestamp=now - pd.Timedelta(days=day), is_reliable=1 if day else frame["is_reliable"]
        )
        changed["quality_score"] = changed["quality_score"].astype("float32")
        store.push("driver_quality_labels_push", changed, to=PushMode.OFFLINE)
    loader = loaders.from_settings(settings)
    rows = loader.provider.view_rows("driver_quality_labels", "event_timestamp")
    assert rows["driver_id"].tolist() == drivers and rows["is_reliable"].tolist() == [1, 0, 1, 0, 1]
    assert rows["event_timestamp"].nunique() == 1
    assert sum(map(len, loader.labels.frames.values())) == 5
    together = FeatureService(
        name="together",
        features=[
            store.get_feature_view("driver_hourly_stats")[["conv_rate"]],
            store.get_label_view("driver_quality_labels"),
        ],
    )
    store.apply([together])
    described = loader.provider.describe("together")
    assert described.key_dtypes == {"driver_id": "int64"}, "the label view alone would have text"
    now_labelled = loader.provider.historical(described, rows, "event_timestamp")
    assert now_labelled["is_reliable"].tolist() == [1, 0, 1, 0, 1]
