"""Feast's definitions: the customer, the features and the feature service.
``python -m examples.repurchase.feature_job`` writes the Parquet file."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)

purchases = FeatureView(
    name="purchases",
    entities=[user],
    # Zero: a value never becomes stale, because this history ends in 1998. Set a limit for live data.
    ttl=timedelta(0),
    schema=[
        Field(name="frequency", dtype=Int64),
        Field(name="recency_days", dtype=Int64),
        Field(name="tenure_days", dtype=Int64),
        Field(name="mean_amount", dtype=Float64),
        Field(name="total_amount", dtype=Float64),
        Field(name="quantity", dtype=Int64),
        Field(name="days_since_last", dtype=Int64),
    ],
    source=FileSource(name="customers", path="data/customers.parquet", timestamp_field="event_timestamp"),
)

customers = FeatureService(name="customers", features=[purchases])
