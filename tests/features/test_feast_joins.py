"""What Feast 0.67 does to training rows, and that the loader does not."""

import traceback
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlops_lib import config, features, loaders
from mlops_lib.errors import DataError, FeatureStoreError
from mlops_lib.loaders.base import SPLITS, Schema
from mlops_lib.loaders.feature_store import FeatureStoreDataLoader
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.options import ReadOptions
from mlops_lib.loaders.reading import SplitFiles
from mlops_lib.monitoring import skew
from tests.support.feature_projects import DAY, NOW, ROOT, STORE, write_config, write_repo

#: user, time, label: an order that no sort gives, a doubled (key, time), one past a TTL, one unknown.
ROWS = [(3, NOW, 1), (1, NOW, 0), (2, NOW, 1), (1, NOW, 1), (1, NOW - 20 * DAY, 0), (9, NOW, 1)]


@pytest.fixture
def rows():
    return pd.DataFrame(ROWS, columns=["user_id", "event_timestamp", "bought"])


@pytest.fixture
def provider(feature_project):
    return features.from_settings(write_config(feature_project))


def bare(provider, rows, names):
    """What Feast itself answers."""
    return provider.store.get_historical_features(entity_df=rows, features=names).to_df()


def test_bare_feast_drops_rows_past_the_ttl_and_the_join_keeps_them(provider, rows):
    """Users 2 (stale visits) and 1 twenty days ago vanish from Feast's answer; here they have no value."""
    alone = rows.drop_duplicates(["user_id", "event_timestamp"])
    assert len(bare(provider, alone, ["visits:visits"])) < len(alone)
    joined = provider.historical(provider.describe("numbers"), rows, "event_timestamp")
    assert len(joined) == len(rows)
    assert joined["visits"].isna().tolist() == [True, False, True, False, True, True]
    assert joined["visits"].dropna().tolist() == [5, 5]


def test_bare_feast_merges_rows_of_the_same_key_and_time_and_the_join_does_not(provider, rows):
    """User 1 has two labels at the same moment; Feast keeps one of them."""
    twice = rows.iloc[[1, 3]]
    assert len(bare(provider, twice, ["visits:visits"])) == 1
    assert provider.historical(provider.describe("numbers"), twice, "event_timestamp")["age"].tolist() == [
        21.0,
        21.0,
    ]


def test_bare_feast_changes_the_order_and_the_join_does_not(provider, rows):
    """Rows at different times come back from Feast sorted by time; here each is where it was."""
    hours = [(number * 37) % 101 for number in range(40)]
    users = [1 + number % 3 for number in range(40)]
    known = pd.DataFrame({"user_id": users, "event_timestamp": [NOW - hour * DAY / 24 for hour in hours]})
    assert bare(provider, known, ["profile:age"])["user_id"].tolist() != users
    index = list(range(100, 140))
    joined = provider.historical(provider.describe("numbers"), known.set_axis(index), "event_timestamp")
    assert joined["age"].tolist() == [20.0 + user for user in users]
    assert joined.index.tolist() == index


def test_a_row_past_the_ttl_of_one_view_keeps_the_values_of_the_other(provider, rows):
    """Asked for two views at once, Feast drops the whole row, fresh values and all."""
    stale = rows.iloc[[2]]
    assert len(bare(provider, stale, ["visits:visits", "profile:age"])) == 0
    joined = provider.historical(provider.describe("numbers"), stale, "event_timestamp")
    assert joined["age"].tolist() == [22.0] and joined["visits"].isna().all()


def test_the_past_does_not_see_the_future(provider, rows):
    """Two days before its latest value, user 1 has the value of that time."""
    then = pd.DataFrame({"user_id": [1], "event_timestamp": [NOW - 29 * DAY]})
    assert provider.historical(provider.describe("numbers"), then, "event_timestamp")["visits"].tolist() == [
        1
    ]


def test_types_are_those_of_the_definitions(provider):
    """An integer with a gap stays an integer, and text stays text."""
    asked = pd.DataFrame({"user_id": [1, 9], "event_timestamp": NOW})
    joined = provider.historical(provider.describe("small"), asked, "event_timestamp")
    assert joined.dtypes.astype(str).to_dict() == {"visits": "Int64", "age": "float64", "city": "object"}
    only = provider.historical(provider.describe("small"), asked.head(1), "event_timestamp")
    assert str(only["visits"].dtype) == "int64"


def test_the_loader_keeps_rows_labels_and_order(feature_project, rows):
    """The loader's splits together are the labelled rows, each with its own label, in their order."""
    rows.to_parquet(feature_project / "labels.parquet")
    loader = loaders.from_settings(write_config(feature_project))
    assert isinstance(loader, FeatureStoreDataLoader)
    plain = LocalDataLoader(feature_project / "labels.parquet", label="bought", key="user_id")
    for split in SPLITS:
        got, want = loader.load(split), plain.load(split)
        assert got[["user_id", "bought"]].equals(want[["user_id", "bought"]])
        assert list(got) == ["user_id", "visits", "age", "bought"]
    assert sum(len(loader.load(split)) for split in SPLITS) == len(rows)


@pytest.mark.slow
def test_labels_that_are_split_already_stay_in_their_splits(feature_project, rows):
    """A folder of train, validation and test is joined split by split, whatever a hash of the key would say."""
    (feature_project / "labels").mkdir()
    for number, split in enumerate(SPLITS):
        rows.iloc[2 * number :].to_parquet(feature_project / f"labels/{split}.parquet")
    write_config(feature_project)
    loader = loaders.from_settings(config.load(feature_project / "config.yaml", {"data.source": "labels"}))
    for number, split in enumerate(SPLITS):
        assert loader.load(split)["user_id"].tolist() == rows["user_id"].tolist()[2 * number :]


@pytest.mark.slow
def test_a_changed_feature_changes_the_fingerprint(feature_project, rows):
    """The fingerprint is of what the model sees: one value in the store, and it is another dataset."""
    rows.to_parquet(feature_project / "labels.parquet")
    settings = write_config(feature_project)
    before = loaders.from_settings(settings).fingerprint()
    assert loaders.from_settings(settings).fingerprint() == before
    file = feature_project / "repo/data/profile.parquet"
    profile = pd.read_parquet(file)
    profile.loc[0, "age"] += 0.5
    profile.to_parquet(file)
    assert loaders.from_settings(settings).fingerprint() != before


def test_the_joined_training_set_equals_the_local_one_row_by_row(example_features):
    """CDNOW through Feast is CDNOW from the file: keys, features, labels, types and order, in every split."""
    overrides = {"data.feature_store.repo": str(example_features)}
    local = loaders.from_settings(config.load(ROOT / "config.yaml"))
    joined = loaders.from_settings(
        config.load(ROOT / "config.yaml", overrides | {"data.loader": "feature_store"})
    )
    for split in SPLITS:
        pd.testing.assert_frame_equal(joined.load(split), local.load(split), check_exact=True)
        assert len(local.load(split)) > 3000
    assert joined.schema == local.schema


def test_written_data_remembers_its_feature_service(feature_project, rows, tmp_path):
    """02_train opens the folder that 01_get_data wrote, and still knows what the model must look up."""
    big = pd.concat([rows.assign(user_id=rows["user_id"] + 10 * i) for i in range(30)])
    big.to_parquet(feature_project / "labels.parquet")
    settings = write_config(feature_project)
    loaders.from_settings(settings).write(feature_project / "data")
    prepared = loaders.prepared(settings, feature_project / "data")
    assert prepared.tags == {
        "mlops.feature_service": "numbers",
        "mlops.entity_keys": '["user_id"]',
        "mlops.features": '["visits","age"]',
    }
    assert list(prepared.schema.features) == ["visits", "age"]


def test_the_columns_to_learn_from_may_be_chosen_among_features_and_the_rows_own(feature_project, rows):
    """data.features in its order: one of the service's, one that the labelled rows have; the rest stays away."""
    users = pd.concat([rows.assign(user_id=rows["user_id"] + 10 * i, channel=1.5) for i in range(30)])
    users.to_parquet(feature_project / "labels.parquet")
    write_config(feature_project)
    settings = config.load(feature_project / "config.yaml", {"data.features": ("channel", "visits")})
    loader = loaders.from_settings(settings)
    assert list(loader.load("train")) == ["user_id", "channel", "visits", "bought"]
    assert loader.tags["mlops.features"] == '["visits"]'
    loader.write(feature_project / "data")
    assert loaders.prepared(settings, feature_project / "data").schema == loader.schema
    wrong = config.load(feature_project / "config.yaml", {"data.features": ("visits", "chanel")})
    with pytest.raises(DataError, match=r"no column 'chanel' \(no feature of 'numbers' either\).*channel"):
        loaders.from_settings(wrong).load("train")


def test_a_label_that_is_named_like_a_feature_says_what_to_do(feature_project, rows):
    """Two columns of one name would be a dataset in which nobody knows which is the answer."""
    rows.rename(columns={"bought": "visits"}).to_parquet(feature_project / "labels.parquet")
    write_config(feature_project)
    of_label = {"data.label": "visits"}
    with pytest.raises(DataError, match=r"'visits' is the label or key, and a feature too.*data\.features"):
        loaders.from_settings(config.load(feature_project / "config.yaml", of_label)).load("train")
    chosen = config.load(feature_project / "config.yaml", of_label | {"data.features": ("age",)})
    assert list(loaders.from_settings(chosen).load("train")) == ["user_id", "age", "visits"]


def test_times_are_the_same_in_training_and_in_serving(tmp_path):
    """A feature that is a time comes back from the online store as the time that training saw, missing ones too."""
    repo = write_repo(tmp_path / "repo")
    definitions = (
        (repo / "definitions.py").read_text().replace("Int64, String", "Int64, String, UnixTimestamp")
    )
    more = 'seen = view("seen", timedelta(0), [Field(name="seen", dtype=UnixTimestamp)])\n'
    (repo / "definitions.py").write_text(
        definitions + more + 'times = FeatureService(name="times", features=[seen])\n'
    )
    seen = [pd.Timestamp("2026-01-02 03:04:05.678", tz="UTC"), pd.NaT]
    known = pd.DataFrame({"user_id": [1, 2], "event_timestamp": [NOW - DAY] * 2, "seen": seen})
    known.to_parquet(repo / "data/seen.parquet")
    provider = features.from_settings(write_config(tmp_path))
    provider.apply()
    provider.materialize(NOW.replace(year=2000), NOW)
    service = provider.describe("times")
    asked = pd.DataFrame({"user_id": [1, 2], "event_timestamp": NOW})
    trained = provider.historical(service, asked, "event_timestamp")["seen"]
    served = [row.values["seen"] for row in provider.online(service, [{"user_id": 1}, {"user_id": 2}])]
    assert [trained[0], served[0]] == [pd.Timestamp("2026-01-02 03:04:05", tz="UTC")] * 2
    assert trained.isna()[1] and served[1] is None


def test_skew_with_keys_that_the_rows_do_not_keep_is_refused(feature_project):
    """Half of a key would be looked up as another entity, or as none."""

    class TwoKeys(FeatureStoreDataLoader):
        tags = {"mlops.entity_keys": '["user_id","shop_id"]'}  # noqa: RUF012
        schema = Schema.of({"age": "number"}, label="bought", key="user_id")

    labels = SplitFiles(feature_project.root, ReadOptions("bought", "user_id"))
    loader = TwoKeys(labels, None, "both", "event_timestamp")
    with pytest.raises(DataError, match="looked up by user_id, shop_id"):
        skew.check("http://127.0.0.1:9", loader)


@pytest.mark.parametrize(
    ("kind", "trained", "served", "different"),
    [
        ("number", [np.inf, -np.inf, 1.0], [np.inf, -np.inf, 1.0], 0),
        ("number", [np.inf, 1.0, 2.0], [5.0, np.inf, 2.0], 2),
        ("number", [Decimal("1.50"), None], [1.5, None], 0),
        ("number", [1.0, 2.0], ["many", None], 2),
        ("boolean", [True, False, None], [True, None, None], 1),
        ("datetime", [pd.Timestamp("2026-01-02", tz="UTC"), pd.NaT], ["2026-01-02T00:00:00Z", None], 0),
        ("datetime", [pd.Timestamp("2026-01-02", tz="UTC")], ["2026-01-03T00:00:00Z"], 1),
        ("datetime", ["2026-01-02", "2026-01-02"], ["2026-01-02T09:00:00+09:00", "soon"], 1),
        ("category", [3, 4, None], [3.0, "4", None], 0),
        ("category", ["a", "b", None], ["a", None, "None"], 2),
        ("array", [np.array([1.0, 2.5]), None], [[1, 2.5], None], 0),
    ],
)
def test_skew_knows_what_is_equal(kind, trained, served, different):
    """Infinity is itself and nothing else; a time, a category and a list are the same in every form."""
    columns = (pd.Series(values, dtype=object) for values in (trained, served))
    found = skew._compare("x", kind, *columns, pd.Series(range(len(trained))))
    assert found.different == different


def test_rows_without_a_time_are_named(feature_project, rows):
    """A label without a time cannot be joined; it is not dropped either."""
    rows.loc[[0, 4], "event_timestamp"] = pd.NaT
    rows.assign(user_id=1).to_parquet(feature_project / "labels.parquet")
    with pytest.raises(DataError, match=r"labelled rows: 2 rows have no 'event_timestamp'.*rows 0, 4"):
        loaders.from_settings(write_config(feature_project)).load("train")


def test_an_unknown_service_lists_those_there_are(provider):
    """A slip in the name of a service stops with the names there are."""
    with pytest.raises(FeatureStoreError, match=r"no feature service 'smal'.*small"):
        provider.describe("smal")


@pytest.mark.parametrize("wrong", ["prt: 1", "port: many"])
def test_a_slip_in_the_store_s_settings_does_not_show_its_password(feature_project, monkeypatch, wrong):
    """Pydantic repeats what it was given; the error, as a notebook shows it, has the field and not the password."""
    word = "hunter"[1:] + "2"  # in pieces, because the report of the error shows these lines too
    monkeypatch.setenv("PGPW", word)
    online = f'{{type: postgres, {wrong}, user: u, password: "${{PGPW}}"}}'
    (feature_project / "repo/feature_store.yaml").write_text(STORE.format(online=online))
    with pytest.raises(
        FeatureStoreError, match=r"feature_store\.yaml is wrong.*host: Field required"
    ) as caught:
        features.from_settings(write_config(feature_project)).describe("numbers")
    assert word not in str(caught.getrepr(style="long")) + "".join(traceback.format_exception(caught.value))


def test_a_folder_without_a_store_says_what_to_set(tmp_path):
    """The error names the setting."""
    with pytest.raises(FeatureStoreError, match=r"data\.feature_store\.repo"):
        features.from_settings(write_config(tmp_path))
