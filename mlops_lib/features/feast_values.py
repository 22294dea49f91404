"""Values of Feast as values of pandas and Python: types of features, joined values, and online answers."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureService, OnlineRow, Trouble

if TYPE_CHECKING:
    import pandas as pd

#: Feast's value types -> pandas dtypes; the second is for columns with a missing value.
DTYPES = {
    "INT32": ("int32", "Int32"),
    "INT64": ("int64", "Int64"),
    "FLOAT": ("float32", "float32"),
    "DOUBLE": ("float64", "float64"),
    "BOOL": ("bool", "boolean"),
    "STRING": ("object", "object"),
    "UNIX_TIMESTAMP": ("datetime64[ns, UTC]", "datetime64[ns, UTC]"),
}
#: A missing time in Feast's protobuf.
NO_TIME = -(2**63)


def dtype(feature: Any) -> str:
    """The pandas dtype of a feature or of an entity's column.

    Raises:
        FeatureStoreError: Values of its type are not supported.
    """
    kind = feature.dtype.to_value_type().name
    if kind not in DTYPES:
        raise FeatureStoreError(f"Feature {feature.name!r} is {kind}; types read here: {', '.join(DTYPES)}.")
    return DTYPES[kind][0]


def typed(service: FeatureService, features: "pd.DataFrame") -> "pd.DataFrame":
    """Joined values in the types that their views declare; a join turns integers with gaps into floats."""
    nullable = dict(DTYPES.values())
    typed = {}
    for name, dtype in service.dtypes.items():
        column = features[name]
        if dtype.startswith("datetime"):
            column = column.dt.floor("s")  # as online stores do
        typed[name] = column.astype(nullable[dtype] if column.isna().any() else dtype)
    return type(features)(typed, index=features.index)


def key_columns(service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Entity keys as Feast takes them: a list of values for each key column."""
    try:
        return {name: [key[name] for key in keys] for name in service.entity_keys}
    except KeyError as error:
        raise FeatureStoreError(
            f"{service.name!r} is looked up by {', '.join(service.entity_keys)}; {error} is missing."
        ) from None


def online_rows(service: FeatureService, names: list[str], results: Any, count: int) -> list[OnlineRow]:
    """Feast's answer, which has a column for each feature, as rows.

    Feast ignores the TTL of a value, so stale values are marked here.
    """
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    now = datetime.now(UTC).timestamp()
    values: list[dict[str, Any]] = [{} for _ in range(count)]
    troubles: list[dict[str, Trouble]] = [{} for _ in range(count)]
    expires_at: list[float | None] = [None] * count
    for name, column in zip(names, results, strict=True):
        if name not in service.dtypes:
            continue
        ttl_s = service.ttl_s[name]
        is_time = service.dtypes[name].startswith("datetime")
        for i, value in enumerate(column.values):
            kind = value.WhichOneof("val")
            found = getattr(value, kind) if kind else None
            values[i][name] = _time(found) if is_time else found
            known_at = column.event_timestamps[i].seconds
            # Redis answers an entity that it does not know with nulls from 1970, not with NOT_FOUND.
            if column.statuses[i] == FieldStatus.NOT_FOUND or (kind is None and known_at <= 0):
                troubles[i][name] = "unknown_entity"
            elif ttl_s is not None and known_at < now - ttl_s:
                troubles[i][name] = "stale"
            elif ttl_s is not None:
                expires_at[i] = min(known_at + ttl_s, expires_at[i] or math.inf)
    return [OnlineRow(*row) for row in zip(values, troubles, expires_at, strict=True)]


def _time(seconds: int | None) -> datetime | None:
    return None if seconds in (None, NO_TIME) else datetime.fromtimestamp(seconds, UTC)
