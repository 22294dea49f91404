"""Reads of Feast's online store: which views are read together, and whether each value is usable."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.text import text_of
from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureService, OnlineRow, Trouble
from mlops_lib.features.feast_json import json_text
from mlops_lib.features.feast_views import StoredView

if TYPE_CHECKING:
    from feast import FeatureStore

#: Fields of Feast's protobuf with a value that Python has.
PLAIN = frozenset({"int32_val", "int64_val", "float_val", "double_val", "bool_val", "string_val"})
#: FieldStatus.NOT_FOUND of Feast's protobuf.
NOT_FOUND = 3


class Reads:
    """The online reads of one feature service: one for all views,
    more only where views need other key columns."""

    def __init__(self, store: "FeatureStore", service: FeatureService, views: Sequence[StoredView]) -> None:
        self.store, self.service = store, service
        self._groups: list[list[StoredView]] = []
        for view in views:
            fitting = (group for group in self._groups if all(_go_together(view, other) for other in group))
            if group := next(fitting, None):
                group.append(view)
            else:
                self._groups.append([view])

    def __call__(self, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        """The row of each entity.

        Raises:
            FeatureStoreError: A key column is missing.
        """
        if missing := [name for name in self.service.entity_keys if any(name not in key for key in keys)]:
            raise FeatureStoreError(
                f"{self.service.name!r} is looked up by {', '.join(self.service.entity_keys)}; "
                f"{', '.join(map(repr, missing))} is missing."
            )
        rows, now = [_Row() for _ in keys], datetime.now(UTC).timestamp()
        for group in self._groups:
            for view, feature, answer in self._read(group, keys):
                column = view.columns[feature]
                for row, value, status, seen_at in zip(
                    rows, answer.values, answer.statuses, answer.event_timestamps, strict=True
                ):
                    row.add(column, self._value(column, value), status, seen_at.seconds, view.ttl_s, now)
        return [OnlineRow(row.values, row.troubles, row.expires_at) for row in rows]

    def _read(
        self, group: Sequence[StoredView], keys: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[StoredView, str, Any]]:
        """Feast's column of values of each feature of the views."""
        from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL

        by_name = {f"{view.name}__{feature}": (view, feature) for view in group for feature in view.columns}
        names = {own: column for view in group for own, column in view.keys.items()}
        dtypes = {own: dtype for view in group for own, dtype in view.key_dtypes.items()}
        entities = {own: [_key(key[column], dtypes[own]) for key in keys] for own, column in names.items()}
        answer = self.store.get_online_features(
            [f"{view.name}:{feature}" for view in group for feature in view.columns],
            entities or {DUMMY_ENTITY_ID: [DUMMY_ENTITY_VAL] * len(keys)},
            full_feature_names=True,
        ).proto
        for name, column in zip(answer.metadata.feature_names.val, answer.results, strict=True):
            if name in by_name:
                yield *by_name[name], column

    def _value(self, column: str, value: Any) -> Any:
        kind = value.WhichOneof("val")
        if kind is None or kind in PLAIN:
            return getattr(value, kind) if kind else None
        from feast.type_map import feast_value_type_to_python_type

        # Feast parses JSON; the offline store has its text.
        found = value.json_val if kind == "json_val" else feast_value_type_to_python_type(value)
        return json_text(found) if column in self.service.structured else _plain(found)


class _Row:
    """The values of one entity, while they are collected."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.troubles: dict[str, Trouble] = {}
        self.expires_at: float | None = None

    def add(
        self, name: str, value: Any, status: int, seen_at: float, ttl_s: float | None, now: float
    ) -> None:
        """Add a value; Feast ignores its TTL, so a stale one is marked here."""
        self.values[name] = value
        # Redis answers an entity that it does not know with nulls from 1970, not with NOT_FOUND.
        if status == NOT_FOUND or (value is None and seen_at <= 0):
            self.troubles[name] = "unknown_entity"
        elif ttl_s is not None and seen_at < now - ttl_s:
            self.troubles[name] = "stale"
        elif ttl_s is not None:
            self.expires_at = min(seen_at + ttl_s, self.expires_at or math.inf)


def _go_together(one: StoredView, other: StoredView) -> bool:
    """Whether Feast can read both in one call: different views,
    with the same column and type for a key they share."""
    shared = one.keys.keys() & other.keys.keys()
    same = all((one.keys[k], one.key_dtypes[k]) == (other.keys[k], other.key_dtypes[k]) for k in shared)
    return one.name != other.name and same and bool(one.keys) == bool(other.keys)


def _key(value: Any, dtype: str) -> Any:
    """A key as a view declares it; another view may know the same entity by an integer."""
    return text_of(value) if dtype == "object" else value


def _plain(value: Any) -> Any:
    """UUIDs as text and decimals as floats, as in training."""
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, UUID):
        return str(value)
    return float(value) if isinstance(value, Decimal) else value
