"""Feast as a feature provider, with workarounds for faults of Feast 0.67 (docs/decisions/0101-around-feast.md)."""

import contextlib
import io
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureProvider, FeatureService, OnlineRow
from mlops_lib.features.feast_repo import definitions, feast_errors, rows_shown
from mlops_lib.features.feast_values import dtype, key_columns, online_rows, typed
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

#: Keys of one online read; SQLite takes 32,766 values in a statement by default.
READ_KEYS = 30_000


class FeastProvider(FeatureProvider):
    """A Feast feature repository: a folder with ``feature_store.yaml`` and Python files of definitions."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self._handles: dict[str, Any] = {}
        if not (repo / "feature_store.yaml").is_file():
            raise FeatureStoreError(f"{repo} has no feature_store.yaml. Set data.feature_store.repo.")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.path(settings.data.feature_store.repo))

    @cached_property
    def store(self) -> "FeatureStore":
        """Feast's own object."""
        from feast import FeatureStore

        with feast_errors(f"open {self.repo}"):
            return FeatureStore(repo_path=str(self.repo))

    def describe(self, service: str) -> FeatureService:
        with feast_errors("read its registry"):
            found = {item.name: item for item in self.store.list_feature_services()}
            if service not in found:
                raise FeatureStoreError(
                    f"The feature store at {self.repo} has no feature service {service!r}. It has: "
                    f"{', '.join(found) or 'none'}. Register definitions with: mlops features apply"
                )
            keys: dict[str, str] = {}
            dtypes: dict[str, str] = {}
            ttl_s: dict[str, float | None] = {}
            for projection in found[service].feature_view_projections:
                view = self._view(projection.name, service)
                for column in view.entity_columns:
                    keys[projection.join_key_map.get(column.name, column.name)] = dtype(column)
                for feature in projection.features:
                    if feature.name in dtypes:
                        raise FeatureStoreError(
                            f"Feature service {service!r} has two features named {feature.name!r}; rename one."
                        )
                    dtypes[feature.name] = dtype(feature)
                    ttl_s[feature.name] = view.ttl.total_seconds() or None if view.ttl else None
        return FeatureService(service, keys, dtypes, ttl_s)

    def historical(self, service: FeatureService, rows: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        import pandas as pd

        keys = list(service.entity_keys)
        if missing := [column for column in (*keys, timestamp) if column not in rows.columns]:
            raise FeatureStoreError(
                f"The rows to join have no column {', '.join(missing)}; they have: {', '.join(rows.columns)}."
            )
        asked = rows[[*keys, timestamp]].reset_index(drop=True)
        asked[timestamp] = pd.to_datetime(asked[timestamp], utc=True)
        # Feast merges rows with the same key and time, so each pair is sent once and joined back to its rows.
        pairs = asked.drop_duplicates(ignore_index=True)
        joined = asked
        for projection in self.store.get_feature_service(service.name).feature_view_projections:
            # One view at a time: Feast drops a row that is past the TTL of one view from all views.
            found = self._join(projection, pairs, timestamp)
            shared = [column for column in found.columns if column in asked.columns]
            joined = joined.merge(found, on=shared, how="left", validate="many_to_one")
        if len(joined) != len(rows):
            raise FeatureStoreError(
                f"The join returned {len(joined)} rows for {len(rows)}; please report this."
            )
        features = joined[list(service.dtypes)]
        return typed(service, features).set_axis(rows.index)

    def online(self, service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        found: list[OnlineRow] = []
        for start in range(0, len(keys), READ_KEYS):
            some = keys[start : start + READ_KEYS]
            with feast_errors("read online features"):
                answer = self.store.get_online_features(
                    self._handle(service.name), key_columns(service, some)
                ).proto
            found += online_rows(service, list(answer.metadata.feature_names.val), answer.results, len(some))
        return found

    def reconnect(self) -> None:
        # A new store has new connections; lookups that hang keep the old ones.
        vars(self).pop("store", None)
        self._handles.clear()

    def apply(self) -> list[str]:
        import feast

        kinds = (feast.Entity, feast.FeatureView, feast.OnDemandFeatureView, feast.FeatureService)
        objects: list[Any] = [o for o in definitions(self.repo) if isinstance(o, (*kinds, feast.FileSource))]
        names = {o.name for o in objects}
        with feast_errors("register the definitions"), contextlib.redirect_stdout(sys.stderr):
            gone: list[Any] = [s for s in self.store.list_feature_services() if s.name not in names]
            gone += [v for v in self.store.list_feature_views() if v.name not in names]
            self.store.apply(objects, objects_to_delete=gone, partial=False)
            self.store.refresh_registry()
        self._handles.clear()
        return sorted(f"{type(o).__name__} {o.name}" for o in objects if isinstance(o, kinds))

    def materialize(self, since: datetime, until: datetime) -> None:
        if not self.store.list_feature_views():
            raise FeatureStoreError(
                f"Nothing is registered in {self.repo}. Register definitions with: mlops features apply"
            )
        # Feast's own output would break the progress line, and adds nothing to it.
        quiet = contextlib.redirect_stdout(io.StringIO())
        with feast_errors("materialise"), quiet, rows_shown(self.store):
            self.store.materialize(since, until)

    def _handle(self, service: str) -> Any:
        """Feast's object of a service, cached: decoding it takes as long as reading ten entities."""
        if (found := self._handles.get(service)) is None:
            registry = self.store.registry
            found = registry.get_feature_service(service, self.store.project, allow_cache=True)
            self._handles[service] = found
        return found

    def _view(self, name: str, service: str) -> Any:
        from feast.errors import FeatureViewNotFoundException

        try:
            return self.store.get_feature_view(name)
        except FeatureViewNotFoundException:
            raise FeatureStoreError(
                f"Feature service {service!r} reads {name!r}, which is not a stored feature view. On-demand views "
                "are not supported: compute such a feature in the feature job or inside the model."
            ) from None

    def _join(self, projection: Any, pairs: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        """The features of one view for each (key, time) that has them."""
        name = projection.name_alias or projection.name
        view = self.store.get_feature_view(projection.name)
        keys = [projection.join_key_map.get(key, key) for key in view.join_keys]
        wanted = pairs[[*keys, timestamp]].drop_duplicates(ignore_index=True)
        with feast_errors(f"join feature view {name!r}"):
            found = self.store.get_historical_features(
                entity_df=wanted.rename(columns={timestamp: "event_timestamp"}),
                features=[f"{name}:{feature.name}" for feature in projection.features],
            ).to_df()
        found = found.rename(columns={"event_timestamp": timestamp})
        found[timestamp] = found[timestamp].astype(pairs[timestamp].dtype)
        for key in keys:
            found[key] = found[key].astype(pairs[key].dtype)
        return found[[*keys, timestamp, *(feature.name for feature in projection.features)]]
