"""Feast as a feature provider, with workarounds for faults of Feast 0.67
(docs/decisions/0101-around-feast.md)."""

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
from mlops_lib.features.feast_asked import declared
from mlops_lib.features.feast_errors import feast_errors
from mlops_lib.features.feast_on_demand import computed, require_rowwise
from mlops_lib.features.feast_online import Reads
from mlops_lib.features.feast_repo import register, rows_shown
from mlops_lib.features.feast_rows import rows_of
from mlops_lib.features.feast_scalars import python_values
from mlops_lib.features.feast_service import views_of
from mlops_lib.features.feast_sqlite import use_feasts_times
from mlops_lib.features.feast_values import as_declared, instants, typed
from mlops_lib.features.feast_views import ServiceViews, StoredView
from mlops_lib.imports import FEAST_EXTRAS, unchecked, without
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
        #: Resolved services: decoding one takes as long as reading ten entities.
        self._services: dict[str, ServiceViews] = {}
        self._reads: dict[tuple[str, ...], Reads] = {}
        if not (repo / "feature_store.yaml").is_file():
            raise FeatureStoreError(f"{repo} has no feature_store.yaml. Set data.feature_store.repo.")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.path(settings.data.feature_store.repo))

    @cached_property
    def store(self) -> "FeatureStore":
        """Feast's own object."""
        with without(FEAST_EXTRAS), unchecked():
            from feast import FeatureStore

        if (folder := str(self.repo)) not in sys.path:  # functions of on-demand views may import its modules
            sys.path.append(folder)
        with feast_errors(f"open {self.repo}"):
            return FeatureStore(repo_path=folder)

    def describe(self, service: str) -> FeatureService:
        return self._resolved(service).service

    def historical(self, service: FeatureService, rows: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        import pandas as pd

        views = self._resolved(service.name)
        wanted = {**service.key_dtypes, **service.request_dtypes}
        if missing := [column for column in (*wanted, timestamp) if column not in rows.columns]:
            raise FeatureStoreError(
                f"The rows to join have no column {', '.join(missing)}; they have: {', '.join(rows.columns)}."
            )
        where = f"which feature service {service.name!r} reads"
        asked = pd.DataFrame({name: declared(rows[name], dtype, where) for name, dtype in wanted.items()})
        asked[timestamp] = instants(rows[timestamp])
        asked = asked.reset_index(drop=True)
        # Feast merges rows with the same key and time, so each pair is sent once and joined back to its rows.
        pairs = asked[[*service.entity_keys, timestamp]].drop_duplicates(ignore_index=True)
        joined = asked
        for view in views.stored_of(service):
            # One view at a time: Feast drops a row that is past the TTL of one view from all views.
            found = self._join(service, view, pairs, timestamp)
            on = [*dict.fromkeys(view.keys.values()), timestamp]
            joined = joined.merge(found, on=on, how="left", validate="many_to_one")
        if len(joined) != len(rows):
            raise FeatureStoreError(
                f"The join returned {len(joined)} rows for {len(rows)}; please report this."
            )
        for name, dtype in service.stored_dtypes.items():
            joined[name] = typed(joined[name], dtype, name in service.structured)
        columns = {name: python_values(joined[name]) for name in joined} if service.on_demand else {}
        for on_demand in views.on_demand_of(service):
            made = computed(views.service, on_demand, columns, len(rows))
            require_rowwise(views.service, on_demand, columns, made)
            for name in service.on_demand.keys() & made.keys():
                joined[name] = typed(pd.Series(made[name], dtype=object, name=name), service.dtypes[name])
        return joined[list(service.dtypes)].set_axis(rows.index)

    def online(self, service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        wanted = service.name, *service.stored_dtypes
        if (read := self._reads.get(wanted)) is None:
            views = self._resolved(service.name)
            read = self._reads[wanted] = Reads(self.store, service, views.stored_of(service))
        found: list[OnlineRow] = []
        for start in range(0, len(keys), READ_KEYS):
            with feast_errors("read online features"):
                use_feasts_times()
                found += read(keys[start : start + READ_KEYS])
        return found

    def compute(self, service: FeatureService, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        views = self._resolved(service.name)
        whole = views.service
        dtypes = {**whole.key_dtypes, **whole.stored_dtypes, **whole.request_dtypes}
        answers: list[dict[str, Any]] = [{} for _ in rows]
        for view in views.on_demand_of(service):
            needed = {*view.inputs, *view.request}
            complete = [i for i, row in enumerate(rows) if row.keys() >= needed]
            if not complete:
                continue
            known = [key for key in service.entity_keys if any(key in rows[i] for i in complete)]
            columns = {
                name: [as_declared(rows[i].get(name), dtypes[name]) for i in complete]
                for name in (*known, *needed)
            }
            for name, values in computed(whole, view, columns, len(complete)).items():
                for i, value in zip(complete, values, strict=True):
                    answers[i][name] = value
        return answers

    def view_rows(self, view: str, timestamp: str) -> "pd.DataFrame":
        with feast_errors(f"read the rows of {view!r}"):
            return rows_of(self.store, view, timestamp)

    def reconnect(self) -> None:
        # A new store has new connections; lookups that hang keep the old ones.
        vars(self).pop("store", None)
        self._forget()

    def apply(self) -> list[str]:
        with without(FEAST_EXTRAS):
            import feast  # noqa: F401 - before `store`: with the checks of the definitions' arguments
        with feast_errors("register the definitions"):
            registered = register(self.store, self.repo)
        self._forget()
        return registered

    def materialize(self, since: datetime, until: datetime) -> None:
        # The registry, not the store: the store takes the placeholder entity off its cached views without
        # entities, and their values would be written under no key.
        registry, project = self.store.registry, self.store.project
        if not [*registry.list_feature_views(project), *registry.list_stream_feature_views(project)]:
            raise FeatureStoreError(
                f"Nothing is registered in {self.repo}. Register definitions with: mlops features apply"
            )
        # Feast's own output would break the progress line, and adds nothing to it.
        quiet = contextlib.redirect_stdout(io.StringIO())
        with feast_errors("materialise"), quiet, rows_shown(self.store):
            use_feasts_times()
            self.store.materialize(since, until)

    def _forget(self) -> None:
        self._services.clear()
        self._reads.clear()

    def _resolved(self, service: str) -> ServiceViews:
        """A service with its views."""
        if (found := self._services.get(service)) is None:
            store = self.store
            with feast_errors("read its registry"):
                names = [item.name for item in store.list_feature_services()]
                if service not in names:
                    raise FeatureStoreError(
                        f"The feature store at {self.repo} has no feature service {service!r}. It has: "
                        f"{', '.join(names) or 'none'}. Register definitions with: mlops features apply"
                    )
                found = self._services[service] = views_of(store, service)
        return found

    def _join(
        self, service: FeatureService, view: StoredView, pairs: "pd.DataFrame", timestamp: str
    ) -> "pd.DataFrame":
        """The features of one view for each (key, time) that has them."""
        import pandas as pd

        columns = {**view.keys, "event_timestamp": timestamp}
        asked = pd.DataFrame({own: pairs[column] for own, column in columns.items()}).drop_duplicates()
        with feast_errors(f"join feature view {view.name!r}"):
            found = self.store.get_historical_features(
                entity_df=asked, features=[f"{view.name}:{feature}" for feature in view.columns]
            ).to_df()
        if not view.keys:
            self._restore_placeholder(view.name)
        for name in columns:
            found[name] = found[name].astype(asked[name].dtype)
        return found[[*columns, *view.columns]].rename(columns={**columns, **view.columns})

    def _restore_placeholder(self, view: str) -> None:
        """Undo a change that a join makes to Feast's cached view without entities:
        online reads would find no row."""
        from feast.feature_view import DUMMY_ENTITY_FIELD, DUMMY_ENTITY_NAME

        cached: Any = self.store.registry.get_any_feature_view(view, self.store.project, allow_cache=True)
        cached.entities, cached.entity_columns = [DUMMY_ENTITY_NAME], [DUMMY_ENTITY_FIELD]
