"""Resolve a Feast feature service: where each column comes from, and which columns of a row find it."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureService, Sources
from mlops_lib.features.feast_values import dtype, is_structured, type_name
from mlops_lib.features.feast_views import OnDemandView, ServiceViews, StoredView

if TYPE_CHECKING:
    from feast import FeatureStore


def views_of(store: "FeatureStore", name: str) -> ServiceViews:
    """Resolve a registered feature service.

    Raises:
        FeatureStoreError: It reads a view in a way that is not supported.
    """
    from feast import OnDemandFeatureView

    reading = _Reading(store, name)
    projections = store.get_feature_service(name).feature_view_projections
    count = Counter(feature.name for projection in projections for feature in projection.features)
    on_demand = []
    for projection in projections:
        # As Feast's full_feature_names, but only where two views have a feature of one name.
        columns = {
            f.name: f"{projection.name_to_use()}__{f.name}" if count[f.name] > 1 else f.name
            for f in projection.features
        }
        reading.declare(reading.dtypes, projection, columns)
        view = reading.view(projection.name)
        if isinstance(view, OnDemandFeatureView):
            on_demand.append((view, columns))
        else:
            reading.add_stored(projection, view, columns)
    # After the stored views: an on-demand view reads the columns that they have.
    computed = [reading.on_demand(view, columns) for view, columns in on_demand]
    return ServiceViews(reading.service(computed), list(reading.stored.values()), computed)


class _Reading:
    """The state of `views_of`; attributes are those of FeatureService."""

    def __init__(self, store: "FeatureStore", name: str) -> None:
        self.store, self.name = store, name
        self.stored: dict[str, StoredView] = {}
        self.key_dtypes: dict[str, str] = {}
        self.label_keys: dict[str, str] = {}
        self.dtypes: dict[str, str] = {}
        self.inputs: dict[str, str] = {}
        self.request_dtypes: dict[str, str] = {}
        self.structured: dict[str, str] = {}
        self.labels: set[str] = set()

    def view(self, name: str) -> Any:
        """Feast's object of any kind of view."""
        return self.store.registry.get_any_feature_view(name, self.store.project)

    def declare(self, dtypes: dict[str, str], projection: Any, columns: Mapping[str, str]) -> None:
        """Note the types of a view's features."""
        for feature in projection.features:
            if (column := columns.get(feature.name)) is None:
                continue
            dtypes[column] = dtype(feature)
            if is_structured(feature):
                self.structured[column] = type_name(feature)

    def add_stored(self, projection: Any, view: Any, columns: Mapping[str, str]) -> StoredView:
        """A stored view with `columns`, beside those that another reader of the view asked for."""
        from feast import LabelView
        from feast.feature_view import DUMMY_ENTITY_ID

        if projection.version_tag is not None:
            raise FeatureStoreError(
                f"Feature service {self.name!r} reads version {projection.version_tag} of {projection.name!r}. Only "
                "the latest version of a view is supported."
            )
        label = projection.name_to_use()
        if label not in self.stored:
            own = {key.name: dtype(key) for key in view.entity_columns if key.name != DUMMY_ENTITY_ID}
            keys = {name: projection.join_key_map.get(name, name) for name in own}
            self._note_keys(view, {column: own[name] for name, column in keys.items()})
            ttl_s = view.ttl.total_seconds() or None if view.ttl else None
            self.stored[label] = StoredView(view.name, keys, own, ttl_s)
        self.stored[label].columns.update(columns)
        if isinstance(view, LabelView):
            self.labels.update(columns.values())
        return self.stored[label]

    def _note_keys(self, view: Any, dtypes: Mapping[str, str]) -> None:
        from feast import LabelView

        if isinstance(view, LabelView):  # Feast calls its keys text unless its schema has them
            self.label_keys |= dtypes
            return
        for column, new in dtypes.items():
            if (known := self.key_dtypes.setdefault(column, new)) != new:
                raise FeatureStoreError(
                    f"Entity key {column!r} is {new} in {view.name!r} and {known} in another view of feature service "
                    f"{self.name!r}. Give its Entity a value_type."
                )

    def on_demand(self, view: Any, columns: Mapping[str, str]) -> OnDemandView:
        """An on-demand view; its inputs that the service does not have are read from
        the store beside them."""
        if view.mode not in ("pandas", "python") or view.aggregations:
            raise FeatureStoreError(
                f"On-demand feature view {view.name!r} has mode {view.mode!r}"
                f"{' and aggregations' if view.aggregations else ''}. Supported are pandas and python, without "
                "aggregations."
            )
        # Feast's registry keeps sources in no order.
        sources = [source for _, source in sorted(view.source_feature_view_projections.items())]
        count = Counter(feature.name for source in sources for feature in source.features)
        inputs: dict[str, list[str]] = {}
        for source in sources:
            label = source.name_to_use()
            known = self.stored[label].columns if label in self.stored else {}
            more = {f.name: f"{label}__{f.name}" for f in source.features if f.name not in known}
            self.declare(self.inputs, source, more)
            stored = self.add_stored(source, self.view(source.name), more)
            for feature in source.features:
                short = [feature.name] if count[feature.name] == 1 else []
                inputs[stored.columns[feature.name]] = [*short, f"{source.name}__{feature.name}"]
        request = {}
        for _, item in sorted(view.source_request_sources.items()):
            request.update({column.name: dtype(column) for column in item.schema})
        self.request_dtypes.update(request)
        return OnDemandView(view, columns, inputs, tuple(request))

    def service(self, computed: list[OnDemandView]) -> FeatureService:
        """The service as every feature store describes one."""
        sources = {
            column: Sources(tuple(view.inputs), view.request, view.code)
            for view in computed
            for column in view.columns.values()
        }
        return FeatureService(
            name=self.name,
            key_dtypes=self.label_keys | self.key_dtypes,
            dtypes=self.dtypes,
            ttl_s={column: view.ttl_s for view in self.stored.values() for column in view.columns.values()},
            on_demand=sources,
            inputs=self.inputs,
            request_dtypes=self.request_dtypes,
            structured=self.structured,
            labels=frozenset(self.labels),
        )
