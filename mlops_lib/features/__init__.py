"""Feature stores behind one interface: point-in-time joins for training, online lookups for serving.

A provider is a plugin: ``feast``, ``tecton``, or your own class. No other package imports Feast or Tecton.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from mlops_lib import plugins
from mlops_lib.errors import FeatureStoreError
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

#: Tags of a training run, copied to the model version: feature service, entity keys and features to look up.
SERVICE_TAG, KEYS_TAG, FEATURES_TAG = "mlops.feature_service", "mlops.entity_keys", "mlops.features"
#: Tag with ``feature=digest`` of the function of each on-demand feature.
ON_DEMAND_TAG = "mlops.on_demand_features"

#: Reasons why an online value is not usable.
Trouble = Literal["unknown_entity", "stale"]


@dataclass(frozen=True)
class Sources:
    """The columns that an on-demand feature is computed from.

    Attributes:
        stored: Features and inputs of the store.
        request: Columns of the request's row.
        code: Digest of the function that computes it; another one may compute other values.
    """

    stored: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class FeatureService:
    """A named set of features.

    Attributes:
        name: Name in the store.
        key_dtypes: Columns that identify an entity -> pandas dtype of their values.
        dtypes: Feature -> pandas dtype of its values, on-demand features included.
        ttl_s: Stored feature or input -> seconds after which a value is stale; None: never.
        on_demand: On-demand feature -> the columns that it is computed from.
        inputs: Stored columns that only on-demand features read -> pandas dtype.
            They are no features themselves.
        request_dtypes: Columns of the request's row that on-demand features read -> pandas dtype.
        structured: Feature with values of several parts -> its type in the store. The values are JSON text.
        labels: Features that are labels of people, such as those of a Feast label view.
            No model learns from them unless they are named.
    """

    name: str
    key_dtypes: Mapping[str, str]
    dtypes: Mapping[str, str]
    ttl_s: Mapping[str, float | None]
    on_demand: Mapping[str, Sources] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    request_dtypes: Mapping[str, str] = field(default_factory=dict)
    structured: Mapping[str, str] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()

    @property
    def entity_keys(self) -> tuple[str, ...]:
        """Names of the columns that identify an entity."""
        return tuple(self.key_dtypes)

    @property
    def stored_dtypes(self) -> dict[str, str]:
        """Columns that the store has -> pandas dtype: the features that are not computed on demand,
        and the inputs."""
        return {n: d for n, d in self.dtypes.items() if n not in self.on_demand} | dict(self.inputs)

    def only(self, names: Iterable[str]) -> Self:
        """The same service with those of its features that are in `names`, in that order,
        and what they need."""
        chosen = {name: self.dtypes[name] for name in names if name in self.dtypes}
        on_demand = {name: self.on_demand[name] for name in chosen if name in self.on_demand}
        stored, request = (
            {name for source in on_demand.values() for name in (source.stored, source.request)[part]}
            for part in (0, 1)
        )
        return replace(
            self,
            dtypes=chosen,
            on_demand=on_demand,
            inputs={n: d for n, d in self.stored_dtypes.items() if n in stored and n not in chosen},
            request_dtypes={name: dtype for name, dtype in self.request_dtypes.items() if name in request},
        )


@dataclass(frozen=True)
class OnlineRow:
    """Online values of one entity.

    Attributes:
        values: Stored feature or input -> value.
        trouble: Feature -> why its value is not usable. A stale value is in `values` too.
        expires_at: Time (seconds since 1970) at which the first usable value becomes stale; None: never.
    """

    values: Mapping[str, Any]
    trouble: Mapping[str, Trouble] = field(default_factory=dict)
    expires_at: float | None = None


class FeatureProvider(ABC):
    """One feature store."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The store that ``data.feature_store`` describes."""

    @abstractmethod
    def describe(self, service: str) -> FeatureService:
        """Entity keys and features of a service.

        Raises:
            FeatureStoreError: The service does not exist; lists the known ones.
        """

    @abstractmethod
    def historical(self, service: FeatureService, rows: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        """The features of each row at the row's time: the same number of rows, in the same order and index.

        A value that did not exist then, or was past its TTL, is missing.
        On-demand features are computed from the other values.

        Args:
            service: From `describe`.
            rows: Has the entity keys, `timestamp`, and the columns of `service.request_dtypes`.
            timestamp: Column of times; naive ones are UTC.

        Raises:
            FeatureStoreError: A column is missing, or a value does not have the type that the store declares.
        """

    @abstractmethod
    def online(self, service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        """The latest stored values of each entity, in the order of `keys`, in one lookup.

        Raises:
            FeatureStoreError: The store cannot be reached.
        """

    def compute(self, service: FeatureService, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The on-demand features of each row, in order, as `historical` computes them.

        Args:
            service: From `describe`; has on-demand features.
            rows: Each has stored values, the request's columns and, where the caller sent them,
                the entity keys. A feature is computed for the rows that have all its columns.

        Raises:
            FeatureStoreError: The function of a feature failed.
        """
        raise FeatureStoreError(f"{type(self).__name__} has no on-demand features.")

    def view_rows(self, view: str, timestamp: str) -> "pd.DataFrame":
        """Every row of a view: entity keys, the row's time as `timestamp`, and the values.

        A label view has one row for each entity: its conflict policy chooses among several labels.

        Raises:
            FeatureStoreError: The view does not exist, or has no rows of its own.
        """
        raise FeatureStoreError(f"{type(self).__name__} has no rows of a view; set data.source to a file.")

    def reconnect(self) -> None:  # noqa: B027 - not abstract: a store may have no connections
        """Drop connections that may hang; the next lookup opens new ones. Other lookups may be running."""

    def apply(self) -> list[str]:
        """Register the definitions, and return the names of the registered objects."""
        raise FeatureStoreError(
            f"{type(self).__name__} cannot register definitions; use the store's own tools."
        )

    def materialize(self, since: datetime, until: datetime) -> None:
        """Copy the values of a time span to the online store, with progress on stderr."""
        raise FeatureStoreError(f"{type(self).__name__} cannot materialise; use the store's own tools.")


def from_settings(settings: Settings) -> FeatureProvider:
    """The provider that ``data.feature_store.provider`` names."""
    provider: type[FeatureProvider] = plugins.load("features", settings.data.feature_store.provider)
    return provider.from_settings(settings)
