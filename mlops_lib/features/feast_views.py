"""The views that a Feast feature service reads."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_lib.features import FeatureService


@dataclass
class StoredView:
    """A view with values of its own: a feature view, a stream feature view or a label view.

    Attributes:
        name: Of the view, without an alias.
        keys: Join key of the view -> column of the rows with its values.
        key_dtypes: Join key of the view -> pandas dtype of its values in the online store.
        ttl_s: Seconds after which a value is stale; None: never.
        columns: Feature of the view -> column that it becomes.
    """

    name: str
    keys: Mapping[str, str]
    key_dtypes: Mapping[str, str]
    ttl_s: float | None
    columns: dict[str, str] = field(default_factory=dict)


@dataclass
class OnDemandView:
    """A view that computes its features from stored values and the request's row.

    Attributes:
        view: Feast's object.
        columns: Feature of the view -> column that it becomes.
        inputs: Stored column -> names by which the view's function knows it.
        request: Columns of the request's row.
    """

    view: Any
    columns: Mapping[str, str]
    inputs: dict[str, list[str]]
    request: tuple[str, ...]

    @property
    def code(self) -> str:
        """Digest of the source of the view's function."""
        text = f"{self.view.mode}\0{self.view.singleton}\0{self.view.feature_transformation.udf_string}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class ServiceViews:
    """A feature service with the views that it reads."""

    service: FeatureService
    stored: list[StoredView]
    on_demand: list[OnDemandView]

    def stored_of(self, part: FeatureService) -> list[StoredView]:
        """The stored views that a part of the service reads, with the columns that it needs."""
        narrowed = (
            replace(view, columns={own: c for own, c in view.columns.items() if c in part.stored_dtypes})
            for view in self.stored
        )
        return [view for view in narrowed if view.columns]

    def on_demand_of(self, part: FeatureService) -> list[OnDemandView]:
        """The on-demand views that a part of the service reads."""
        return [
            view for view in self.on_demand if not part.on_demand.keys().isdisjoint(view.columns.values())
        ]
