"""Small projects in temporary folders, with a feature repository."""

import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from mlops_lib import config

ROOT = Path(__file__).parents[2]

DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

def view(name, ttl, schema):
    source = FileSource(name=name, path=f"data/{name}.parquet", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=[user], ttl=ttl, schema=schema, source=source)

visits = view("visits", timedelta(days=7), [Field(name="visits", dtype=Int64)])
profile = view("profile", timedelta(0), [Field(name="age", dtype=Float64), Field(name="city", dtype=String)])
small = FeatureService(name="small", features=[visits, profile])
numbers = FeatureService(name="numbers", features=[visits, profile[["age"]]])
"""

STORE = """
project: small
provider: local
registry: data/registry.db
online_store: {online}
offline_store: {{type: dask}}
entity_key_serialization_version: 3
"""

CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: data}}
data:
  loader: feature_store
  source: labels.parquet
  key: user_id
  label: bought
  feature_store: {{repo: repo, service: numbers}}
model: {{name: small, wrapper: sklearn, implementation: "sklearn.ensemble:HistGradientBoostingClassifier"}}
evaluation: {{threshold: 0.0}}
{more}
"""

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def write_repo(folder: Path, online: str = "{type: sqlite, path: data/online.db}") -> Path:
    """A feature repository: user 1 is fresh, user 2 has visits past their TTL, user 3 no visits at all."""
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "definitions.py").write_text(DEFINITIONS)
    (folder / "feature_store.yaml").write_text(STORE.format(online=online))
    visits = [(1, NOW - 30 * DAY, 1), (1, NOW - DAY, 5), (2, NOW - 20 * DAY, 9)]
    pd.DataFrame(visits, columns=["user_id", "event_timestamp", "visits"]).to_parquet(data / "visits.parquet")
    profile = [(u, NOW - 40 * DAY, 20.0 + u, f"city {u}") for u in (1, 2, 3)]
    columns = ["user_id", "event_timestamp", "age", "city"]
    pd.DataFrame(profile, columns=columns).to_parquet(data / "profile.parquet")
    return folder


def write_config(folder: Path, more: str = "") -> config.Settings:
    """Settings of a project in `folder` whose feature repository is ``repo/``."""
    (folder / "config.yaml").write_text(CONFIG.format(more=textwrap.dedent(more)))
    return config.load(folder / "config.yaml")
