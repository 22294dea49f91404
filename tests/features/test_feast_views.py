"""Every kind of view of a Feast repository: the values of training, and the same values online."""

import itertools
import re
import shutil
import sqlite3

import pandas as pd
import pytest

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import Sources
from mlops_lib.features.feast import FeastProvider
from mlops_lib.features.feast_json import json_text
from mlops_lib.features.feast_scalars import python_value
from tests.support import feature_zoo
from tests.support.feature_projects import DAY, NOW

#: Users (3 has no values, 6 is unknown) with text keys that look like numbers.
TRIPS = [("007", "icn", "cju"), ("7", "cju", "pus"), ("서울점", "pus", "nowhere")]


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """The repository with every kind of view, registered and materialised."""
    return feature_zoo.fill(tmp_path_factory.mktemp("zoo") / "repo")


@pytest.fixture
def rows():
    """Each user in three shops, now, with the request's columns."""
    named = itertools.product((1, 2, 3, 4, 5, 6), TRIPS)
    made = pd.DataFrame(
        [
            {"user_id": u, "shop_code": s, "origin_city": a, "target_city": b, "home": a}
            for u, (s, a, b) in named
        ]
    )
    numbers = range(len(made))
    when = pd.Timestamp("2026-11-01 10:11:12.5", tz="UTC")
    asked = {"price": [n / 3 for n in numbers], "pieces": [1 + n % 4 for n in numbers], "when": when}
    return made.assign(event_timestamp=NOW, **asked)


def online(provider, service, rows, at_once):
    """What the service would give the model for each row."""
    columns = [*service.entity_keys, *service.request_dtypes]
    asked = [{name: row[name] for name in columns} for row in rows.to_dict("records")]
    found = provider.online(service, [{name: row[name] for name in service.entity_keys} for row in asked])
    whole = [{**row, **one.values} for row, one in zip(asked, found, strict=True)]
    if service.on_demand:
        parts = [whole] if at_once else [[row] for row in whole]
        made = [values for part in parts for values in provider.compute(service, part)]
        whole = [{**row, **values} for row, values in zip(whole, made, strict=True)]
    return [{name: python_value(row[name]) for name in service.dtypes} for row in whole]


@pytest.mark.parametrize("at_once", [True, False], ids=["one request", "a request each"])
@pytest.mark.parametrize(
    "name",
    ["plain", "shops", "trip", "one_end", "global_rates", "rates_of_user", "structured", "clicked", "computed",
     "only_computed"],
)  # fmt: skip
def test_online_values_are_those_of_training(provider, rows, name, at_once):
    """Keys of both types, two entities, aliases, no entity, streams, lists, gaps and on-demand views: equal to the bit."""
    service = provider.describe(name)
    joined = provider.historical(service, rows, "event_timestamp")
    trained = [{name: python_value(row[name]) for name in joined} for row in joined.to_dict("records")]
    assert online(provider, service, rows, at_once) == trained
    assert list(joined) == list(service.dtypes)
    assert joined.notna().any().all(), "every feature has a value in some row"


def test_text_keys_stay_apart(provider, rows):
    """007 and 7 are two shops."""
    found = provider.historical(provider.describe("shops"), rows.head(3), "event_timestamp")
    assert found["매출"].tolist() == [1.5, 2.5, 3.5]


def test_a_view_under_two_names_has_two_columns(provider, rows):
    """Origin and target are looked up by columns of their own; a city that nobody knows has no value."""
    service = provider.describe("trip")
    assert service.entity_keys == ("origin_city", "target_city")
    found = provider.historical(service, rows.tail(1), "event_timestamp").iloc[0]
    assert found["origin__degrees"] == -3.0 and pd.isna(found["target__degrees"])


@pytest.mark.slow
def test_on_demand_features_have_the_values_that_feast_computes(provider, rows):
    """Where Feast's own join loses no row (it merges rows of one key and time), its answer is the same."""
    service = provider.describe("computed")
    known = rows[~rows["user_id"].isin([3, 6])].drop_duplicates("user_id").reset_index(drop=True)
    mine = provider.historical(service, known, "event_timestamp")
    store = provider.store
    asked = known[["user_id", "shop_code", "event_timestamp", "price", "pieces", "when"]].assign(
        n=known.index
    )
    bare = store.get_historical_features(
        entity_df=asked, features=["priced:total", "python_mode:spoken"]
    ).to_df()
    bare = bare.set_index("n").sort_index()
    assert mine["total"].tolist() == bare["total"].tolist()
    assert mine["spoken"].tolist() == bare["spoken"].tolist()


def test_bare_feast_serves_another_value_than_it_trains_and_the_platform_does_not(provider, rows):
    """`share` is a float32: Feast's join computes with it as one, its online read as a float64."""
    one = rows.iloc[[0]]
    row = one[["user_id", "price", "pieces", "when"]].to_dict("records")
    asked = one[["user_id", "event_timestamp", "price", "pieces", "when"]]
    bare_trained = provider.store.get_historical_features(entity_df=asked, features=["priced:total"]).to_df()
    bare_served = provider.store.get_online_features(["priced:total"], row).to_dict()
    assert bare_served["total"][0] != bare_trained["total"][0]
    service = provider.describe("only_computed")
    trained = provider.historical(service, one, "event_timestamp")["total"][0]
    assert online(provider, service, one, at_once=True) == [{"total": trained}]
    assert trained == bare_trained["total"][0]


@pytest.mark.slow
def test_an_integer_with_gaps_reaches_the_function_as_it_does_alone(provider, rows):
    """pandas turns a column with gaps into floats: user 1's text would be 10.0 in training and 10 in the service."""
    found = provider.historical(provider.describe("computed"), rows, "event_timestamp")
    assert found["whole_text"].tolist()[:3] == ["10"] * 3


def test_a_function_over_all_rows_is_refused(provider, rows):
    """The service could not compute it: the error names view, feature, row and both values."""
    with pytest.raises(
        FeatureStoreError, match=r"'over_all_rows' gives 'centred' of row 0 the value 0\.0 alone"
    ):
        provider.historical(provider.describe("centred"), rows, "event_timestamp")


def test_a_function_that_fails_names_its_row(provider, rows):
    """One row of many has no pieces."""
    rows.loc[7, "pieces"] = 0
    with pytest.raises(FeatureStoreError, match=r"'may_fail' failed on row 7: ZeroDivisionError.*pieces=0"):
        provider.historical(provider.describe("failing"), rows, "event_timestamp")


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("user_id", ["1", "007"], r"'user_id'.*is int64.*1 values are not: '007' \(row 1\)"),
        ("user_id", [1.0, 2.5], r"2\.5 \(row 1\)"),
        ("pieces", [3.0, "many"], r"'pieces'.*'many' \(row 1\)"),
        ("when", ["2026-11-01", "yesterday?"], r"'when'.*yesterday"),
    ],
)
def test_values_that_the_store_cannot_have_are_named(provider, rows, column, values, said):
    """A key or a request's column of another type is taken where it is the same value, and else named."""
    asked = rows.head(2).assign(**{column: values})
    with pytest.raises(FeatureStoreError, match=said):
        provider.historical(provider.describe("only_computed"), asked, "event_timestamp")


@pytest.mark.slow
def test_keys_of_any_type_find_their_entity(provider, rows):
    """A CSV has user 1 as text, a database as a decimal: they are user 1."""
    service = provider.describe("plain")
    for keys in (["1", "2"], [1.0, 2.0], pd.array([1, 2], dtype="Int32")):
        asked = pd.DataFrame({"user_id": keys, "event_timestamp": NOW})
        assert provider.historical(service, asked, "event_timestamp")["whole"].tolist() == [10, 20]


def test_a_missing_column_of_the_request_is_named(provider, rows):
    """The rows to join have the keys and not the price."""
    with pytest.raises(FeatureStoreError, match=r"have no column price; they have: user_id"):
        provider.historical(provider.describe("only_computed"), rows.drop(columns="price"), "event_timestamp")


def test_a_part_of_a_service_reads_only_what_it_needs(provider):
    """A model that uses `total` alone needs two of the request's columns' view, and no other view."""
    whole = provider.describe("computed")
    part = whole.only(["total"])
    assert list(part.dtypes) == ["total"] and "bought" not in " ".join(part.inputs)
    assert part.inputs.keys() >= {"whole", "gaps__share"} and "times__seen" not in part.inputs
    assert set(part.request_dtypes) == {"price", "pieces", "when"}
    assert whole.only([]).stored_dtypes == {}


def test_labels_of_a_label_view_are_marked(provider, rows):
    """A model must not learn from them by accident."""
    service = provider.describe("labelled")
    assert service.labels == {"good", "labeler"}
    found = provider.historical(service, rows, "event_timestamp")
    assert found["good"].iloc[0] == 1 and found["labeler"].iloc[0] == "kim"


@pytest.mark.slow
def test_pushed_values_are_looked_up(tmp_path):
    """A push reaches the online store at once, and the offline store's rows at their time."""
    from feast.data_source import PushMode

    provider = feature_zoo.fill(tmp_path / "repo")
    event = {"user_id": [1], "at": [NOW], "made": [NOW], "clicks": [99]}
    provider.store.push("click_push", pd.DataFrame(event), to=PushMode.ONLINE_AND_OFFLINE)
    service = provider.describe("clicked")
    assert provider.online(service, [{"user_id": 1}])[0].values["clicks"] == 99
    asked = pd.DataFrame({"user_id": [1, 1], "event_timestamp": [NOW, NOW - DAY]})
    assert provider.historical(service, asked, "event_timestamp")["clicks"].tolist() == [99, 2]


def test_times_are_read_after_pandas_has_written_to_sqlite(provider):
    """pandas replaces the conversion of SQLite's times for the whole process, also Feast's."""
    service = provider.describe("plain")
    expected = provider.online(service, [{"user_id": 1}])
    assert expected[0].values
    pd.DataFrame({"at": [NOW]}).to_sql("times", sqlite3.connect(":memory:"))
    assert provider.online(service, [{"user_id": 1}]) == expected


@pytest.mark.slow
def test_only_a_changed_view_is_reported_as_updated(tmp_path, capsys):
    """The views are materialised. Without a change no view is reported, with one its view alone."""
    folder = feature_zoo.fill(tmp_path / "repo").repo
    capsys.readouterr()
    FeastProvider(folder).apply()
    assert "Updated" not in capsys.readouterr().err
    with (folder / "definitions.py").open("a") as definitions:
        definitions.write("times.ttl = timedelta(days=8)\n")
    FeastProvider(folder).apply()
    assert re.findall("Updated .*", capsys.readouterr().err) == ["Updated feature view times"]


def test_the_code_of_an_on_demand_view_has_a_digest(provider, tmp_path):
    """Another function has another digest, so that a version can be refused when its function changes."""
    folder = tmp_path / "repo"
    shutil.copytree(provider.repo, folder)
    text = (folder / "definitions.py").read_text()
    (folder / "definitions.py").write_text(text.replace('inputs["share"] * 3', 'inputs["share"] * 4'))
    changed = FeastProvider(folder)
    changed.apply()
    old, new = (one.describe("computed").on_demand for one in (provider, changed))
    assert old["total"].code != new["total"].code
    assert old["ratio"] == new["ratio"] and isinstance(new["ratio"], Sources)


def test_the_text_of_a_value_of_several_parts_is_the_same_however_it_comes():
    """A dict, pairs of Parquet, JSON with blanks, NumPy: one text; a member without a value is left out."""
    import numpy as np

    forms = [{"b": 1, "a": None, "c": [1]}, [("c", np.array([1])), ("b", np.int64(1))], '{"c": [1],  "b": 1}']
    assert {json_text(form) for form in forms} == {'{"b":1,"c":[1]}'}
    assert json_text(None) is None and json_text(float("nan")) is None and json_text("plain") == '"plain"'
